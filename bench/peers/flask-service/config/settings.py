import os

MAX_CONCURRENT = int(os.environ.get("MAX_CONCURRENT", "10"))
PROCESS_TIMEOUT = float(os.environ.get("PROCESS_TIMEOUT", "1800"))
PROCESS_CLEAN_TIME = float(os.environ.get("PROCESS_CLEAN_TIME", "1"))
HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "8801"))
WORKER_CMD = os.environ.get("WORKER_CMD", "/bin/true").split()
