import ErlangTerm
import SystemCalls

/// The requests that come in on one stream, and the descriptors that come along with them.
struct Intake: ~Copyable {
  /// What is done with descriptors that come along: an opener does not even take them.
  enum Rights { case taken, refused }

  private let rights: Rights
  private var buffer: FrameBuffer
  private var control = ControlBuffer(size: ControlBuffer.space(4 * Messages.mostDescriptors))
  /// Descriptors whose frame has not come whole, where that frame starts, and whether there was no room for some.
  private var early = Descriptors()
  private var earlyPosition: Int?
  private var earlyLost = false

  init(_ format: FrameBuffer.Format, rights: Rights) {
    self.rights = rights
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
    guard rights == .taken else {
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
    // A read ends behind a message with descriptors, so they belong to the last frame that has begun.
    let lost = flags & CInt(MSG_CTRUNC) != 0
    let before = early.count
    control.rights { early.append(Descriptor(owning: $0)) }
    if early.count > before || lost {
      earlyPosition = buffer.lastBegun
      earlyLost = lost
    }
    return count
  }

  /// A frame, and whether descriptors came along for which there was no room in this process.
  struct Frame {
    let bytes: UnsafeRawBufferPointer
    let lost: Bool
    fileprivate let hasDescriptors: Bool
  }

  /// The next whole frame; it stays valid until the next ``read(from:)``.
  mutating func next() throws(FrameBuffer.TooLong) -> Frame? {
    guard let (bytes, position) = try buffer.next() else { return nil }
    guard position == earlyPosition else { return Frame(bytes: bytes, lost: false, hasDescriptors: false) }
    earlyPosition = nil
    return Frame(bytes: bytes, lost: earlyLost, hasDescriptors: true)
  }

  /// The descriptors that came along with a frame.
  mutating func takeDescriptors(of frame: Frame) -> Descriptors {
    frame.hasDescriptors ? early.takeAll() : Descriptors()
  }

  /// Forgets all that has come, as a new stream begins. A frame that was given out stays valid.
  mutating func restart() {
    buffer.removeAll()
    early.removeAll()
    earlyPosition = nil
  }
}
