"""mp_pipe.py - multiprocessing.Pipe(duplex=False): thousands of messages of 64 KiB in a second, by send_bytes"""
import multiprocessing
import os
import time

MESSAGES = 4000


def take(reader, writer):
    writer.close()
    count = 0
    try:
        while True:
            reader.recv_bytes()
            count += 1
    except EOFError:
        os._exit(count != MESSAGES)


def main():
    context = multiprocessing.get_context('fork')
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=take, args=(reader, writer))
    message = bytes(64 << 10)
    process.start()
    began = time.monotonic()
    reader.close()
    for _ in range(MESSAGES):
        writer.send_bytes(message)
    writer.close()
    process.join()
    took = time.monotonic() - began
    if process.exitcode != 0:
        raise SystemExit('the receiver counts otherwise')
    print(MESSAGES / took / 1e3)


if __name__ == '__main__':
    main()
