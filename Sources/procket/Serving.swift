import ErlangTerm
import SystemCalls

// From a frame to its answer, which goes to where the frame came from: docs/protocol.md.

extension Context {
  private static let input: CInt = 0
  private static let output: CInt = 1

  /// Serves what has come on stdin; false at its end.
  mutating func serveInput() throws(Errno) -> Bool {
    if try stdin.read(from: Self.input) == false { return false }
    // A frame of `{packet,2}` cannot be too long.
    while let frame = (try? stdin.next()) ?? nil { try serve(frame, from: .stdin) }
    return true
  }

  /// Serves what has come on the attached connection.
  mutating func serveAttached() throws(Errno) {
    attached.ready()
    while let frame = attached.next() { try serve(frame, from: .attached) }
  }

  /// Serves what has come on the direct connection; whether there was a request.
  mutating func serveDirect() throws(Errno) -> Bool {
    var served = false
    direct.ready()
    while let frame = direct.next() {
      served = true
      try serve(frame, from: .direct)
    }
    return served
  }

  private mutating func serve(_ frame: consuming FrameReader.Frame, from origin: Stream) throws(Errno) {
    stream = origin
    counters.received += frame.bytes.count
    guard let request = Request(frame.bytes, otherwise: &answer) else { return try send() }
    answer.begin(id: request.id)
    if frame.lost {
      answer.fail(.code(EMFILE), function: request.function)
    } else if !request.arguments.isList {
      answer.fail(.name("badrequest"), function: request.function)
    } else {
      incoming = frame.descriptors.takeAll()
      var call = Call(id: request.id, arguments: request.arguments, descriptors: incoming.numbers)
      Commands.run(request.function, &call, &self)
      // What came along is closed before the answer: nobody finds it open behind their back.
      incoming.removeAll()
      if call.isAnswered { try send(call.outgoing.takeAll()) }
      return
    }
    try send()
  }

  /// Sends the answer, and with it the descriptors that it brings.
  private mutating func send(_ outgoing: consuming Descriptors = Descriptors()) throws(Errno) {
    if outgoing.count > 0 { answer.add(descriptors: outgoing.count) }
    if answer.length > stream.longestAnswer {
      outgoing.removeAll()
      answer.failTooLong(most: stream.longestAnswer)
    }
    counters.sent += answer.length
    switch stream {
    case .stdin: try answer.withShortFrame { (bytes) throws(Errno) in try Files.writeAll(Self.output, bytes) }
    case .attached:
      attached.append(outgoing)
      attached.send(&answer)
    case .direct:
      direct.append(outgoing)
      direct.send(&answer)
    }
    if let next = nextDirect.take() { direct.open(next) }
  }

  /// Sends an answer that comes later than its request, or was not asked for.
  mutating func send(
    id: [UInt8], to destination: Stream = .stdin, _ write: (inout Answer) -> Void
  ) throws(Errno) {
    stream = destination
    try id.withBytes { (id) throws(Errno) in
      answer.begin(id: id)
      write(&answer)
      try send()
    }
  }
}
