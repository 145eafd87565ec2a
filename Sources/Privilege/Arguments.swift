import CSystem

/// The arguments of this process.
public enum Arguments {
  /// Without the name of the program.
  public static func all() -> [String] {
    guard let vector = procket_arguments() else { return Array(CommandLine.arguments.dropFirst()) }
    var arguments: [String] = []
    var index = 0
    while let argument = vector[index] {
      arguments.append(String(cString: argument))
      index += 1
    }
    return Array(arguments.dropFirst())
  }
}
