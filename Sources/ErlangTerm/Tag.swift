/// The first byte of each kind of term in the external term format. The names are those of `ei.h`, whose
/// macros are C characters, which Swift does not import.
enum Tag {
  static let version: UInt8 = 131
  static let smallInteger = UInt8(ascii: "a")
  static let integer = UInt8(ascii: "b")
  static let smallBig = UInt8(ascii: "n")
  static let largeBig = UInt8(ascii: "o")
  static let newFloat = UInt8(ascii: "F")
  static let float = UInt8(ascii: "c")
  static let atom = UInt8(ascii: "d")
  static let smallAtom = UInt8(ascii: "s")
  static let atomUTF8 = UInt8(ascii: "v")
  static let smallAtomUTF8 = UInt8(ascii: "w")
  static let pid = UInt8(ascii: "g")
  static let newPid = UInt8(ascii: "X")
  static let port = UInt8(ascii: "f")
  static let newPort = UInt8(ascii: "Y")
  static let v4Port = UInt8(ascii: "x")
  static let reference = UInt8(ascii: "e")
  static let newReference = UInt8(ascii: "r")
  static let newerReference = UInt8(ascii: "Z")
  static let smallTuple = UInt8(ascii: "h")
  static let largeTuple = UInt8(ascii: "i")
  static let empty = UInt8(ascii: "j")
  static let string = UInt8(ascii: "k")
  static let list = UInt8(ascii: "l")
  static let map = UInt8(ascii: "t")
  static let binary = UInt8(ascii: "m")
  static let bitBinary = UInt8(ascii: "M")
  static let export = UInt8(ascii: "q")

  static let atoms = [atom, smallAtom, atomUTF8, smallAtomUTF8]
  static let integers = [smallInteger, integer, smallBig, largeBig]
  static let lists = [string, list, empty]
  static let tuples = [smallTuple, largeTuple]
  static let references = [reference, newReference, newerReference]
  static let pids = [pid, newPid]
}
