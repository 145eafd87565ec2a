import ErlangTerm
import Privilege

/// What a port process of a role serves.
extension Role {
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

  /// What an opener is asked fits into one frame.
  var takesParts: Bool { self != .opener }

  /// The longest request on the lane, in bytes.
  var longestRequest: Int { self == .worker ? Parts.longestTerm : FrameBuffer.longestFrame }
}
