import CSystem

public enum Clock {
  /// Nanoseconds since some moment, never less than before. The corresponding C function is `clock_gettime`.
  public static func monotonic() -> Int64 {
    var time = timespec()
    _ = clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}

public enum Processors {
  /// How many this process may run on: sched_getaffinity(2).
  public static var available: Int { Int(procket_processors()) }

  /// Lets another have this one, if any waits for it. The corresponding C function is `sched_yield`.
  public static func yield() { _ = sched_yield() }
}
