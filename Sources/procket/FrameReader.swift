import ErlangTerm
import SystemCalls

/// The requests that come in on one stream, and the descriptors that come along with them.
struct FrameReader: ~Copyable {
  /// Descriptors of a frame that has not been given out: where it starts, how many, and whether there was no room for some.
  private struct Arrival {
    let position: Int
    var count: Int
    var lost: Bool
  }

  private let takesDescriptors: Bool
  private var buffer: FrameBuffer
  private var control = ControlBuffer(size: ControlBuffer.space(4 * Messages.mostDescriptors))
  /// The descriptors of all arrivals, in order.
  private var early = Descriptors()
  private var arrivals: [Arrival] = []

  /// Descriptors that come along are not even received, unless it `takesDescriptors`.
  init(_ format: FrameBuffer.Format, takesDescriptors: Bool) {
    self.takesDescriptors = takesDescriptors
    buffer = FrameBuffer(format)
  }

  /// Reads what is there; whether there can be more.
  mutating func read(from fd: CInt) throws(Errno) -> Bool {
    do throws(Errno) {
      return try readSome(from: fd) > 0
    } catch {
      guard error.rawValue == EAGAIN else { throw error }
      return true
    }
  }

  private mutating func readSome(from fd: CInt) throws(Errno) -> Int {
    guard takesDescriptors else {
      return try buffer.fill { (room) throws(Errno) in try Files.read(fd, into: room) }
    }
    control.reset()
    var address = AddressBuffer(room: 0)
    var flags: CInt = 0
    let count = try buffer.fill { (room) throws(Errno) in
      let received = try Messages.receive(fd, into: room, flags: 0, control: &control, address: &address)
      flags = received.flags
      return received.count
    }
    let before = early.count
    control.rights { early.append(Descriptor(owning: $0)) }
    let lost = flags & CInt(MSG_CTRUNC) != 0
    if early.count > before || lost { arrived(early.count - before, lost: lost) }
    return count
  }

  /// A read ends behind a message with descriptors, so they belong to the last frame that has begun.
  private mutating func arrived(_ count: Int, lost: Bool) {
    guard let position = buffer.lastBegun else { return early.removeAll() }
    if let last = arrivals.last, last.position == position {
      arrivals[arrivals.count - 1].count += count
      arrivals[arrivals.count - 1].lost = last.lost || lost
    } else {
      arrivals.append(Arrival(position: position, count: count, lost: lost))
    }
  }

  /// A frame, the descriptors that came along, and whether there was no room in this process for some of them.
  struct Frame: ~Copyable {
    let bytes: UnsafeRawBufferPointer
    var descriptors = Descriptors()
    var lost = false
  }

  /// The next whole frame; its bytes stay valid until the next ``read(from:)``.
  mutating func next() throws(FrameBuffer.TooLong) -> Frame? {
    guard let (bytes, position) = try buffer.next() else { return nil }
    var frame = Frame(bytes: bytes)
    if let arrival = arrivals.first, arrival.position == position {
      arrivals.removeFirst()
      frame.descriptors = early.takeFirst(arrival.count)
      frame.lost = arrival.lost
    }
    return frame
  }

  /// Forgets all that has come, as a new stream begins. A frame that was given out stays valid.
  mutating func restart() {
    buffer.removeAll()
    early.removeAll()
    arrivals = []
  }
}
