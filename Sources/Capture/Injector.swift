import SystemCalls

#if os(Linux)
  /// Sends the messages of one request after the other, in order, and keeps those that have to wait. Each request has an `Origin`, where
  /// its answer goes.
  public struct Injector<Origin: Sendable>: ~Copyable {
    private struct Waiting {
      let origin: Origin
      let id: [UInt8]
      let messages: [[UInt8]]
      var done: Int
      let size: Int
    }

    /// A request that was sent, or failed after `sent` of its messages.
    public struct Done {
      public let origin: Origin
      public let id: [UInt8]
      public let sent: Int
      public let error: Errno?
    }

    /// The most that waits, in bytes, and what is counted for a message beside its own.
    private static var most: Int { 16 << 20 }
    private static var overhead: Int { 64 }

    private var waiting: [Waiting] = []
    private var waitingSize = 0
    /// A request that failed: what follows under the same name is not sent.
    private var failed: [UInt8] = []
    /// How many messages were sent in all.
    public private(set) var sent = 0

    public init() {}

    /// Whether there are messages that could not be sent yet.
    public var isWaiting: Bool { !waiting.isEmpty }

    /// Sends; `ENOBUFS` where too much waits already; nil where it has to wait, and ``resume(to:isSocket:)`` tells later. `ECANCELED`: an earlier request of this name failed.
    public mutating func send(
      _ messages: [UnsafeRawBufferPointer], id: UnsafeRawBufferPointer, from origin: Origin, to fd: CInt, isSocket: Bool
    ) -> (sent: Int, error: Errno?)? {
      if !failed.isEmpty, id.elementsEqual(failed) { return (0, Errno(rawValue: ECANCELED)) }
      var count = 0
      if waiting.isEmpty {
        let (sent, error) = PacketSender.send(messages[...], to: fd, isSocket: isSocket)
        self.sent += sent
        if error == nil { return (sent, nil) }
        guard error?.rawValue == EAGAIN else {
          failed = [UInt8](id)
          return (sent, error)
        }
        count = sent
      }
      let size = messages.reduce(id.count) { $0 + $1.count + Self.overhead }
      guard size <= Self.most - waitingSize else {
        failed = [UInt8](id)
        return (count, Errno(rawValue: ENOBUFS))
      }
      waitingSize += size
      waiting.append(
        Waiting(
          origin: origin, id: [UInt8](id), messages: messages.map { [UInt8]($0) }, done: count, size: size))
      return nil
    }

    /// Sends what waits; the requests that are done with.
    public mutating func resume(to fd: CInt, isSocket: Bool) -> [Done] {
      var done: [Done] = []
      while var first = waiting.first {
        if first.id == failed {
          done.append(Done(origin: first.origin, id: first.id, sent: 0, error: Errno(rawValue: ECANCELED)))
          removeFirst()
          continue
        }
        while first.done < first.messages.count {
          let (count, error) = first.messages[first.done].withUnsafeBytes { bytes in
            PacketSender.send([bytes], to: fd, isSocket: isSocket)
          }
          sent += count
          first.done += count
          guard let error else { continue }
          if error.rawValue == EAGAIN {
            waiting[0] = first
            return done
          }
          failed = first.id
          done.append(Done(origin: first.origin, id: first.id, sent: first.done, error: error))
          break
        }
        if first.done == first.messages.count {
          done.append(Done(origin: first.origin, id: first.id, sent: first.done, error: nil))
        }
        removeFirst()
      }
      return done
    }

    private mutating func removeFirst() { waitingSize -= waiting.removeFirst().size }
  }
#endif
