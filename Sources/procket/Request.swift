import ErlangTerm
import SystemCalls

/// A frame's `{Id, Function, Args}`.
struct Request {
  let id: UnsafeRawBufferPointer
  let function: String
  /// They may be anything.
  let arguments: TermReader

  /// Where there is something else in the frame, the answer says so.
  init?(_ frame: UnsafeRawBufferPointer, otherwise answer: inout Answer) {
    do throws(TermReader.Failure) {
      var reader = try TermReader(checking: frame)
      guard try reader.tupleHeader() == 3 else { throw .mismatch }
      id = try reader.raw()
      guard TermReader.isIdentifier(id) else { throw .mismatch }
      function = try reader.atom()
      arguments = reader
    } catch {
      answer.begin(id: nil)
      if case .malformed(let offset) = error {
        answer.failTerm(at: offset)
      } else {
        answer.fail(.name("badrequest"), function: "")
      }
      return nil
    }
  }
}
