import ErlangTerm
import Privilege
import SystemCalls

/// Where a request comes from, and its answer goes: docs/protocol.md, "Streams".
enum Stream {
  case stdin, attached, direct

  /// The longest answer, in bytes.
  var longestAnswer: Int { self == .stdin ? FrameBuffer.longestFrame : FrameBuffer.longestTerm }
}

/// A Unix stream socket to the node, which sends requests and reads their answers.
///
/// Nothing waits for the node: what the socket does not take is kept, and no further request is read before all of it was taken.
struct Connection: ~Copyable {
  private var socket = LateDescriptor()
  private var reader: FrameReader
  /// Answers that the socket has not taken completely, how much of them it has taken, and the descriptors that go with the next byte.
  private var rest = TermWriter()
  private var taken = 0
  private var restDescriptors = Descriptors()
  /// The kernel refuses descriptors for the moment, and does not tell when it no longer does: ``ready()`` tries again.
  private(set) var mustRetry = false
  private(set) var hasEnded = false

  init(_ role: Role) {
    reader = FrameReader(.packet4(longest: role.longestRequest), takesDescriptors: role.takesDescriptors)
  }

  /// -1 while it is not open.
  var number: CInt { socket.number }

  /// What to poll for.
  var events: CInt { mustRetry ? 0 : CInt(isWaiting ? POLLOUT : POLLIN) }

  /// Whether the socket has not taken all of the answers.
  private var isWaiting: Bool { taken < rest.count }

  /// Opens it with a connected socket. One that is open is closed.
  mutating func open(_ new: consuming Descriptor) {
    close()
    socket.open(new)
    hasEnded = false
  }

  private mutating func close() {
    socket.close()
    reader.restart()
    forgetRest()
    restDescriptors.removeAll()
    mustRetry = false
    hasEnded = true
  }

  /// Reads or writes what it can. It is closed where the node has closed its end, and by an error.
  mutating func ready() {
    guard number >= 0 else { return }
    if isWaiting { return flush() }
    do throws(Errno) {
      if try reader.read(from: number) == false { close() }
    } catch {
      close()
    }
  }

  /// The next whole request, once the last one is answered. A frame that is too long closes the connection.
  mutating func next() -> FrameReader.Frame? {
    guard !isWaiting else { return nil }
    do throws(FrameBuffer.TooLong) {
      return try reader.next()
    } catch {
      close()
      return nil
    }
  }

  /// Descriptors that go with the next answer: all others were taken.
  mutating func append(_ descriptors: consuming Descriptors) { restDescriptors.append(descriptors) }

  /// Sends an answer. One that the socket does not take is not copied, however long it is.
  mutating func send(_ answer: inout Answer) {
    if isWaiting { return answer.withFrame { rest.raw($0) } }
    var isTaken = true
    answer.withFrame { frame in
      taken = write(frame)
      isTaken = taken == frame.count
    }
    if isTaken {
      taken = 0
    } else {
      rest = answer.takeFrame()
    }
  }

  private mutating func flush() {
    var waiting = TermWriter()
    swap(&waiting, &rest)
    let sent = waiting.withBytes { write(UnsafeRawBufferPointer(rebasing: $0[taken...])) }
    guard !hasEnded else { return }
    taken += sent
    swap(&waiting, &rest)
    if !isWaiting { forgetRest() }
  }

  private mutating func forgetRest() {
    rest.rewind()
    taken = 0
  }

  /// How much was taken: all, where there is nobody any more to take it.
  private mutating func write(_ bytes: UnsafeRawBufferPointer) -> Int {
    var sent = 0
    mustRetry = false
    do throws(Errno) {
      // Descriptors go ahead with the first byte, and are no longer open here when the second comes: a port that the node closes is free.
      if restDescriptors.count > 0 {
        let first = UnsafeRawBufferPointer(rebasing: bytes.prefix(1))
        sent = try Messages.send(first, with: restDescriptors, over: number)
        restDescriptors.removeAll()
      }
      sent += try Messages.send(UnsafeRawBufferPointer(rebasing: bytes[sent...]), with: restDescriptors, over: number)
      return sent
    } catch {
      switch error.rawValue {
      case EAGAIN: return sent
      case ETOOMANYREFS:
        // So many descriptors of this user are on the way: some arrive.
        mustRetry = true
        return sent
      default:
        close()
        return bytes.count
      }
    }
  }
}
