import ErlangTerm

/// What a port process is there for.
enum Role: String {
  /// Calls on descriptors, with the rights of the BEAM's user.
  case worker
  /// Opens, perhaps with more rights, and does nothing else.
  case opener
  /// Packets of one socket, without rights.
  case capture

  var commands: [Command] {
    switch self {
    case .worker: Commands.worker
    case .opener: Commands.opener
    case .capture: Commands.capture
    }
  }

  /// An opener reads no requests from the channel, and takes no descriptors.
  var readsChannel: Bool { self == .worker }
  var rights: Intake.Rights { self == .worker ? .taken : .refused }

  /// The longest request on the lane, in bytes.
  var longestRequest: Int { self == .worker ? Parts.longestTerm : FrameBuffer.longestFrame }
}
