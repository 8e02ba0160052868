"""A scheduler as it is often written by hand: Flask, Popen, a lock and a cleaning thread.

A request starts a program; a thread looks every PROCESS_CLEAN_TIME seconds which ones have ended.
Kept as simple as such services are: what it is slow at is the point of the comparison.
"""
import subprocess
import threading
import time
from collections import deque

import uvicorn
from asgiref.wsgi import WsgiToAsgi
from flask import Flask, jsonify, request

from config import settings
from config.logger_config import app_logger

app = Flask(__name__)
active_processes = deque(maxlen=settings.MAX_CONCURRENT)
process_lock = threading.Lock()

REQUIRED = ("requestId", "systemId", "inspectionStartTime", "inspectionEndTime", "trainId", "lineCode",
            "imageUrls", "yardName", "direction")


def run_processor(data):
    try:
        proc = subprocess.Popen(settings.WORKER_CMD, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=True)
        app_logger.info(f"Started process PID {proc.pid} with requestId: {data.get('requestId')}")
        return proc
    except Exception as e:
        app_logger.exception(f"Process start failed: {e}")
        return None


def cleanup_processes():
    app_logger.info("Cleanup thread started")
    while True:
        with process_lock:
            for _ in range(len(active_processes)):
                proc, start_time = active_processes.popleft()
                status = proc.poll()
                if status is None:
                    if time.time() - start_time > settings.PROCESS_TIMEOUT:
                        app_logger.info(f"Process PID {proc.pid} timed out, terminating")
                        proc.terminate()
                    active_processes.append((proc, start_time))
                elif status == 0:
                    app_logger.info(f"Process PID {proc.pid} closed")
                else:
                    err = proc.stderr.read().decode()
                    app_logger.info(f"Process PID {proc.pid} failed with status {status}: {err}")
        time.sleep(settings.PROCESS_CLEAN_TIME)


@app.route("/jobs", methods=["POST"])
def take_job():
    try:
        data = request.json
        values = [data.get(k) for k in REQUIRED]
        if None in values:
            return jsonify({"code": 400, "message": "Missing required parameters."})
        for image in data.get("imageUrls"):
            if None in [image.get("imageUrl"), image.get("location")]:
                return jsonify({"code": 400, "message": "Missing required parameters."})
        with process_lock:
            if len(active_processes) >= settings.MAX_CONCURRENT:
                return jsonify({"code": 429, "message": "System busy, try later."})
            proc = run_processor(data)
            if not proc:
                return jsonify({"code": 500, "message": "Internal server error."})
            active_processes.append((proc, time.time()))
        return jsonify({"code": 200, "message": "success"})
    except Exception as e:
        app_logger.exception(f"Request processing error: {str(e)}")
        return jsonify({"code": 500, "message": "Internal server error."})


threading.Thread(target=cleanup_processes, daemon=True).start()

if __name__ == "__main__":
    uvicorn.run(WsgiToAsgi(app), host=settings.HOST, port=settings.PORT, log_level="warning",
                access_log=False)
