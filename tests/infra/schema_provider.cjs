// A gRPC server that gives the answers it was told, byte for byte: enough of a provider to check a configuration.
// Standard input: {"/service/Method": "base64 of the answer"}. Standard output: the port.
const grpc = require("@grpc/grpc-js"), fs = require("fs");
const answers = JSON.parse(fs.readFileSync(0, "utf8"));

// Fields of a protobuf message, all that occur here being of bytes or numbers.
function fields(bytes) {
  const found = {};
  let at = 0;
  const varint = () => {
    let value = 0, scale = 1, byte;
    do { byte = bytes[at++]; value += (byte & 0x7f) * scale; scale *= 128; } while (byte & 0x80);
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) === 0) { found[tag >>> 3] = varint(); continue; }
    const length = varint();
    found[tag >>> 3] = bytes.subarray(at, at + length);
    at += length;
  }
  return found;
}

function field(number, bytes) {
  const head = [number << 3 | 2];
  let length = bytes.length;
  while (length > 0x7f) { head.push(length & 0x7f | 0x80); length = Math.floor(length / 128); }
  return Buffer.concat([Buffer.from([...head, length]), bytes]);
}

// A state is as new as its schema: UpgradeResourceState gives back the JSON that it was given.
const upgraded = request => field(1, field(2, fields(fields(request)[3])[1]));

const same = bytes => bytes;
const definition = {}, handlers = {};
for (const [path, text] of Object.entries(answers)) {
  const bytes = Buffer.from(text, "base64");
  definition[path] = {
    path, requestStream: false, responseStream: false,
    requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same,
  };
  const echo = path.endsWith("/UpgradeResourceState");
  handlers[path] = (call, done) => done(null, echo ? upgraded(call.request) : bytes);
}
const server = new grpc.Server({"grpc.max_send_message_length": -1});
server.addService(definition, handlers);
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
