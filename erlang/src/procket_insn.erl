%% @private
%% Instructions of classic BPF as the kernel takes them: `struct sock_filter' of linux/filter.h, `struct bpf_insn' of net/bpf.h.
-module(procket_insn).

-export([program/1, insn/1, stmt/2, jump/4]).

-include("bpf.hrl").

%% Instructions in a row, each encoded or a record.
-spec program([bpf:instruction() | #insn{}]) -> binary().
program(Instructions) when is_list(Instructions), length(Instructions) >= 0 ->
    <<<<(encoded(Instruction))/binary>> || Instruction <- Instructions>>;
program(Instructions) ->
    procket_error:badarg({instructions, Instructions}).

encoded(#insn{} = Instruction) -> insn(Instruction);
encoded(<<_:64>> = Instruction) -> Instruction;
encoded(Instruction) -> procket_error:badarg({instruction, Instruction}).

-spec insn(#insn{}) -> bpf:instruction();
    (bpf:instruction()) -> #insn{}.
insn(#insn{code = Code, jt = JT, jf = JF, k = K}) -> <<Code:16/native, JT:8, JF:8, K:32/native>>;
insn(<<Code:16/native, JT:8, JF:8, K:32/native>>) -> #insn{code = Code, jt = JT, jf = JF, k = K}.

-spec stmt(Code :: non_neg_integer(), K :: integer()) -> bpf:instruction().
stmt(Code, K) when is_integer(Code), is_integer(K) ->
    insn(#insn{code = Code, k = K}).

-spec jump(Code :: non_neg_integer(), K :: integer(), JT :: byte(), JF :: byte()) -> bpf:instruction().
jump(Code, K, JT, JF) when is_integer(Code), is_integer(K), is_integer(JT), is_integer(JF) ->
    insn(#insn{code = Code, jt = JT, jf = JF, k = K}).
