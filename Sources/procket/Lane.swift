import ErlangTerm
import SystemCalls

/// A stream on which one caller at a time sends a request and reads its answer itself: docs/protocol.md, "The lane".
struct Lane: ~Copyable {
  private var socket = LateDescriptor()
  private var intake: Intake
  /// What the socket has not taken yet of the last answer.
  private var rest: [UInt8] = []
  private var restDescriptors = Descriptors()

  init(rights: Intake.Rights, longest: Int) {
    intake = Intake(.packet4(longest: longest), rights: rights)
  }

  /// -1 while it is not open.
  var number: CInt { socket.number }

  /// What to poll for: no request is read before the last one is answered.
  var events: CInt { CInt(rest.isEmpty ? POLLIN : POLLOUT) }

  /// Opens a new one in the place of the last; the end for the BEAM.
  mutating func open() throws(Errno) -> Descriptor {
    close()
    return try Sockets.pair(&socket)
  }

  mutating func close() {
    socket.close()
    intake.restart()
    rest = []
    restDescriptors.removeAll()
  }

  /// Reads or writes what it can. It is closed where the BEAM has closed its end.
  mutating func ready() throws(Errno) {
    guard number >= 0 else { return }
    if !rest.isEmpty { return flush() }
    do throws(Errno) {
      if try intake.read(from: number) == false { close() }
    } catch {
      guard error.rawValue == ECONNRESET else { throw error }
      close()
    }
  }

  /// The next whole request, once the last one is answered. What is no request closes the lane.
  mutating func next() -> Intake.Frame? {
    guard rest.isEmpty else { return nil }
    do throws(FrameBuffer.TooLong) {
      return try intake.next()
    } catch {
      close()
      return nil
    }
  }

  mutating func takeDescriptors(of frame: Intake.Frame) -> Descriptors { intake.takeDescriptors(of: frame) }

  /// Descriptors that go with the next answer.
  mutating func append(_ descriptors: consuming Descriptors) { restDescriptors.append(descriptors) }

  /// Sends an answer with its header. Nothing waits: what is not taken goes later.
  mutating func send(_ bytes: UnsafeRawBufferPointer) {
    let sent = write(bytes)
    if sent < bytes.count { rest = [UInt8](bytes[sent...]) }
  }

  private mutating func flush() {
    let bytes = rest
    rest = []
    let sent = bytes.withUnsafeBytes { write($0) }
    if sent < bytes.count { rest = [UInt8](bytes[sent...]) }
  }

  /// How much was taken: all, where there is nobody any more to take it.
  private mutating func write(_ bytes: UnsafeRawBufferPointer) -> Int {
    do throws(Errno) {
      // What an answer brings is ahead of it, and no longer open here when it comes: a port that the BEAM closes is free.
      let ahead = restDescriptors.count > 0 ? 1 : 0
      if ahead > 0 {
        let first = UnsafeRawBufferPointer(rebasing: bytes.prefix(ahead))
        _ = try Messages.send(first, with: restDescriptors, over: number)
        restDescriptors.removeAll()
      }
      let behind = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(ahead))
      do throws(Errno) {
        return ahead + (try Messages.send(behind, with: restDescriptors, over: number))
      } catch {
        guard error.rawValue == EAGAIN else { throw error }
        return ahead
      }
    } catch {
      if error.rawValue == EAGAIN { return 0 }
      close()
      return bytes.count
    }
  }
}
