import ErlangTerm
import SystemCalls

/// A frame's `{Id, Function, Args}`.
struct Request {
  let id: UnsafeRawBufferPointer
  let function: String
  /// They may be anything.
  let arguments: TermReader

  /// Whether it is a part of another one. What is assembled of parts must not be: nothing nests.
  var isPart: Bool { function == "part" }

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

extension PartAssembler {
  /// Adds what a request `part` has: `[Offset, Total, Chunk]`.
  mutating func add(
    _ request: Request, keeping kept: @autoclosure () -> Kept
  ) throws(Failure) -> (bytes: [UInt8], kept: Kept)? {
    var reader = request.arguments
    do {
      guard reader.isList, try reader.listHeader() == 3 else { throw TermReader.Failure.mismatch }
      return try add(
        id: request.id, offset: try reader.integer(), total: try reader.integer(), chunk: try reader.binary(),
        keeping: kept())
    } catch Parts.Failure.unexpected(let offset) {
      throw .part(offset: offset)
    } catch Parts.Failure.noRoom {
      throw .code(ENOMEM)
    } catch {
      throw .name("badrequest")
    }
  }
}
