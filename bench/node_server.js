// A competent Node.js server for the bench: what a service of this kind is often written as.
//
// Collects the body, frames it (64-byte header with a checksum), and commits in groups: everything
// that waits is written by one writev and flushed by one fdatasync, one commit in flight, at most
// 4 MiB each, into a zero-filled file that it goes round in. Answers after the flush.
//
//   node node_server.js PORT FILE FILE_BYTES

'use strict';

const fs = require('fs');
const http = require('http');
const zlib = require('zlib');

const HEADER_BYTES = 64;
const COMMIT_BYTES_MAX = 4 << 20;
const COMMIT_PARTS_MAX = 1000;  // IOV_MAX is 1024.

const [port, path, fileBytesText] = process.argv.slice(2);
const fileBytes = Number(fileBytesText);
const file = fs.openSync(path, 'w+', 0o600);
const zeros = Buffer.alloc(1 << 20);
for (let at = 0; at < fileBytes; at += zeros.length) fs.writeSync(file, zeros, 0, zeros.length, at);
fs.fsyncSync(file);

let waiting = [];
let inFlight = false;
let offset = 0;
let sequence = 0;

function frame(body) {
  const header = Buffer.allocUnsafe(HEADER_BYTES).fill(0);
  header.writeUInt32LE(body.length, 48);
  header.writeUInt32LE(zlib.crc32 ? zlib.crc32(body) : 0, 52);
  header.writeDoubleLE(++sequence, 32);
  return header;
}

function takeCommit() {
  let bytes = 0;
  let count = 0;
  const parts = [];
  while (count < waiting.length && bytes < COMMIT_BYTES_MAX && parts.length < COMMIT_PARTS_MAX) {
    const record = waiting[count++];
    parts.push(record.header, record.body);
    bytes += HEADER_BYTES + record.body.length;
  }
  const records = count === waiting.length ? waiting : waiting.slice(0, count);
  waiting = count === waiting.length ? [] : waiting.slice(count);
  return {parts, records, bytes};
}

function writeAll(parts, bytes, position, done) {
  fs.writev(file, parts, position, (error, written) => {
    if (error) return done(error);
    if (written === bytes) return fs.fdatasync(file, done);
    const rest = Buffer.concat(parts).subarray(written);
    return writeAll([rest], rest.length, position + written, done);
  });
}

function commit() {
  if (inFlight || waiting.length === 0) return;
  inFlight = true;
  const {parts, records, bytes} = takeCommit();
  if (offset + bytes > fileBytes) offset = 0;
  const position = offset;
  offset += bytes;
  writeAll(parts, bytes, position, (error) => {
    inFlight = false;
    commit();
    for (const record of records) {
      const text = error ? '{"error":"not stored"}'
        : `{"id":"${record.header.readDoubleLE(32)}","bytes":${record.body.length}` +
          ',"durability":"disk"}';
      record.response.writeHead(error ? 503 : 200, {
        'Content-Type': 'application/json',
        'Content-Length': text.length,
        'Inlet-Durability': 'disk',
      });
      record.response.end(text);
    }
  });
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    waiting.push({header: frame(body), body, response});
    commit();
  });
});
server.keepAliveTimeout = 75000;
server.listen({port: Number(port), host: '127.0.0.1', backlog: 4096});
