"""A small Kinesis and Firehose that fails as it is told: single records, whole requests, lost
answers, nonsense. What it stored and what it confirmed is kept apart."""

import base64
import http.server
import json
import random
import threading

NONSENSE = [b"", b"<html>502</html>", b"{}", b'{"Records":[],"RequestResponses":[]}', b"[1]",
            b'{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1"}', b"\0" * 100]


class PutFake:
    """`trouble` (0 to 1) is how much of everything goes wrong; it can be set at any time. Where
    there is any, the first two requests meet it."""

    def __init__(self, seed, trouble=0.0):
        self.chance = random.Random(seed)
        self.trouble = trouble
        self.certain = 2 if trouble else 0
        self.lock = threading.Lock()
        self.stored = []        # (name of the stream, data, key) in order.
        self.confirmed = set()  # data
        self.sent_again = []    # Confirmed, and sent all the same.
        self.troubles = 0
        self.requests = []      # (target, headers)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def data(self):
        with self.lock:
            return [data for _, data, _ in self.stored]

    # ---- What happens to a request.

    def _fails(self):
        if self.certain > 0:
            self.certain -= 1
            return True
        return self.chance.random() < self.trouble

    def _entries(self, request):
        for record in request["Records"]:
            yield base64.b64decode(record["Data"], validate=True), record.get("PartitionKey")

    def answer(self, target, request):
        """(status, body), or None: the connection ends without an answer."""
        firehose = target == "Firehose_20150804.PutRecordBatch"
        if not firehose and target != "Kinesis_20131202.PutRecords":
            return 400, {"__type": "UnknownOperationException"}
        name = request["DeliveryStreamName" if firehose else "StreamName"]
        events = list(self._entries(request))
        self.sent_again += [data for data, _ in events if data in self.confirmed]
        if self._fails():
            self.troubles += 1
            kind = self.chance.randrange(6)
            if kind < 3:  # It arrives, but nobody is told.
                self.stored += [(name, *event) for event in events]
                if kind == 0:
                    return None
                if kind == 1:
                    return 200, self.chance.choice(NONSENSE)
                return 500, {"__type": "InternalFailure", "message": "oh"}
            return [(400, {"__type": "com.amazonaws#ProvisionedThroughputExceededException",
                           "message": "slow down"}),
                    (400, {"__type": "ResourceNotFoundException", "message": "no such stream"}),
                    (503, {"__type": "ServiceUnavailableException", "message": "slow down"})
                    ][kind - 3]
        return 200, self._take(firehose, name, events)

    def _take(self, firehose, name, events):
        share = self.chance.random() if self._fails() else 0
        entries, failed = [], 0
        for data, key in events:
            if self.chance.random() < share:
                failed += 1
                code = self.chance.choice(["InternalFailure", "ServiceUnavailableException"]
                                          if firehose else
                                          ["InternalFailure",
                                           "ProvisionedThroughputExceededException"])
                entries.append({"ErrorCode": code, "ErrorMessage": "no luck"})
                continue
            self.stored.append((name, data, key))
            self.confirmed.add(data)
            number = str(len(self.stored))
            entries.append({"RecordId": number} if firehose else
                           {"SequenceNumber": number, "ShardId": "shardId-000000000000"})
        self.troubles += failed
        if firehose:
            return {"FailedPutCount": failed, "Encrypted": False, "RequestResponses": entries}
        return {"FailedRecordCount": failed, "Records": entries}

    # ---- HTTP.

    def _handler(fake):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target = self.headers["X-Amz-Target"]
                with fake.lock:
                    fake.requests.append((target, dict(self.headers.items())))
                    answer = fake.answer(target, json.loads(body))
                if answer is None:
                    self.close_connection = True
                    return
                status, said = answer
                said = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        return Handler
