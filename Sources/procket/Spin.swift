import SystemCalls

/// For how long a port process polls before it sleeps: waking up costs more than a call.
///
/// It polls while calls come close together, and stops where polling was in vain.
struct Spin: ~Copyable {
  /// The longest, in nanoseconds; 0 is never.
  private var limit: Int64 = 0
  /// Calls with a longer gap than this between them are not close.
  private var near: Int64 { 10 * limit }
  /// How often in a row polling was in vain although calls were close; nil where they are not.
  private var misses: Int?
  private var answered: Int64 = 0
  /// How often a request came while it was polled for, and how often after it had slept.
  private(set) var hits = 0
  private(set) var sleeps = 0

  /// After so many misses it is tried again only now and then.
  private static let patience = 4
  private static let retry = 32

  /// Microseconds. One processor has nothing to gain.
  mutating func set(limit microseconds: Int64) {
    limit = Processors.available > 1 ? microseconds * 1000 : 0
  }

  /// When to stop polling; nil where to sleep at once.
  mutating func deadline() -> Int64? {
    guard limit > 0 else { return nil }
    answered = Clock.monotonic()
    guard let misses, misses < Self.patience || misses % Self.retry == 0 else { return nil }
    return answered + limit
  }

  mutating func hit() {
    hits += 1
    misses = 0
  }

  /// `spin` in microseconds.
  var numbers: [(name: String, Int)] { [("spin", Int(limit / 1000)), ("polled", hits), ("slept", sleeps)] }

  /// A request came after it had slept.
  mutating func slept() {
    sleeps += 1
    guard limit > 0 else { return }
    if Clock.monotonic() - answered > near {
      misses = nil
    } else {
      misses = misses.map { $0 + 1 } ?? 0
    }
  }
}
