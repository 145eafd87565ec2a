import CSystem

extension Files {
  /// The names in a directory, but `.` and `..`. The corresponding C function is `readdir`.
  public static func names(in directory: consuming Descriptor) throws(Errno) -> [String] {
    let number = directory.release()
    guard let stream = fdopendir(number) else {
      let error = Errno.current
      _ = close(number)
      throw error
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }
}
