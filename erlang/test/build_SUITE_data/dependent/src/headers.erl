%% Every constant of the headers in a guard, in a pattern and in a binary.
-module(headers).
-export([main/0]).

-include_lib("procket/include/procket.hrl").
-include_lib("procket/include/ioctl.hrl").
-include_lib("procket/include/packet.hrl").
-include_lib("procket/include/bpf.hrl").

%% A function whose clauses use a constant in a pattern, in a guard and in a binary.
-define(USES(Name, Constant),
    Name(?Constant, pattern) -> ok;
    Name(N, guard) when N =:= ?Constant, N < ?Constant + 1 -> ok;
    Name(<<_:8, ?Constant:64, _/binary>>, binary) -> ok
).
-define(HOLDS(Name, Constant), [ok = Name(?Constant, pattern), ok = Name(?Constant, guard), ok = Name(<<0, ?Constant:64, 1>>, binary)]).

main() ->
    unix = path(list_to_binary(lists:duplicate(?UNIX_PATH_MAX - 1, $a))),
    toolong = path(list_to_binary(lists:duplicate(?UNIX_PATH_MAX, $a))),
    ip = frame(<<0:96, ?ETH_P_IP:16, "packet">>),
    other = frame(<<0:96, 16#0806:16, "packet">>),
    [load, jump, return] = [kind(Code) || Code <- [?BPF_LD + ?BPF_H + ?BPF_ABS, ?BPF_JMP + ?BPF_JEQ + ?BPF_K, ?BPF_RET + ?BPF_A]],
    {16#08, 16#20, 16#10, 16#08, 16#10, 16#80} = fields(?BPF_LD + ?BPF_H + ?BPF_ABS),
    24 = ?BPF_WORDALIGN(17),
    <<(?BPF_RET):16/native, 0, 0, 7:32/native>> = ?BPF_STMT(?BPF_RET + ?BPF_K, 7),
    <<(?BPF_JMP):16/native, 1, 2, 7:32/native>> = ?BPF_JUMP(?BPF_JMP + ?BPF_JA, 7, 1, 2),
    16#400454ca = ?IOW($T, 202, 4),
    [true = is_integer(N) || N <- [?IO($T, 1), ?IOR($T, 1, 4), ?IOWR($T, 1, 4)]],
    #insn{code = 0, jt = 0, jf = 0, k = 0} = #insn{},
    _ = constants(),
    io:put_chars("ok\n"),
    halt().

path(Path) when byte_size(Path) < ?UNIX_PATH_MAX -> unix;
path(_) -> toolong.

frame(<<_:96, ?ETH_P_IP:16, _/binary>>) -> ip;
frame(_) -> other.

kind(Code) when ?BPF_CLASS(Code) =:= ?BPF_LD, ?BPF_SIZE(Code) =:= ?BPF_H, ?BPF_MODE(Code) =:= ?BPF_ABS -> load;
kind(Code) when ?BPF_CLASS(Code) =:= ?BPF_JMP, ?BPF_OP(Code) =:= ?BPF_JEQ, ?BPF_SRC(Code) =:= ?BPF_K -> jump;
kind(Code) when ?BPF_CLASS(Code) =:= ?BPF_RET, ?BPF_RVAL(Code) =:= ?BPF_A, ?BPF_WORDALIGN(1) =:= ?BPF_ALIGNMENT -> return.

fields(Code) ->
    {?BPF_SIZE(Code), ?BPF_MODE(Code), ?BPF_OP(16#10 + ?BPF_ALU), ?BPF_SRC(?BPF_X + 16#40), ?BPF_RVAL(16#76), ?BPF_MISCOP(?BPF_TXA + ?BPF_MISC)}.

constants() ->
    [
        ?HOLDS(backlog, BACKLOG),
        ?HOLDS(ifnamsiz, IFNAMSIZ),
        ?HOLDS(sock_stream, SOCK_STREAM),
        ?HOLDS(sock_dgram, SOCK_DGRAM),
        ?HOLDS(sock_raw, SOCK_RAW),
        ?HOLDS(pf_unspec, PF_UNSPEC),
        ?HOLDS(pf_local, PF_LOCAL),
        ?HOLDS(pf_unix, PF_UNIX),
        ?HOLDS(pf_inet, PF_INET),
        ?HOLDS(pf_inet6, PF_INET6),
        ?HOLDS(pf_packet, PF_PACKET),
        ?HOLDS(unix_path_max, UNIX_PATH_MAX),
        ?HOLDS(sol_socket, SOL_SOCKET),
        ?HOLDS(so_reuseaddr, SO_REUSEADDR),
        ?HOLDS(siocgifname, SIOCGIFNAME),
        ?HOLDS(siocgifindex, SIOCGIFINDEX),
        ?HOLDS(siocgifaddr, SIOCGIFADDR),
        ?HOLDS(siocgifhwaddr, SIOCGIFHWADDR),
        ?HOLDS(sol_packet, SOL_PACKET),
        ?HOLDS(packet_add_membership, PACKET_ADD_MEMBERSHIP),
        ?HOLDS(packet_drop_membership, PACKET_DROP_MEMBERSHIP),
        ?HOLDS(packet_mr_promisc, PACKET_MR_PROMISC),
        ?HOLDS(so_bindtodevice, SO_BINDTODEVICE),
        ?HOLDS(so_attach_filter, SO_ATTACH_FILTER),
        ?HOLDS(so_detach_filter, SO_DETACH_FILTER),
        ?HOLDS(eth_p_ip, ETH_P_IP),
        ?HOLDS(bpf_ld, BPF_LD),
        ?HOLDS(bpf_ldx, BPF_LDX),
        ?HOLDS(bpf_st, BPF_ST),
        ?HOLDS(bpf_stx, BPF_STX),
        ?HOLDS(bpf_alu, BPF_ALU),
        ?HOLDS(bpf_jmp, BPF_JMP),
        ?HOLDS(bpf_ret, BPF_RET),
        ?HOLDS(bpf_misc, BPF_MISC),
        ?HOLDS(bpf_w, BPF_W),
        ?HOLDS(bpf_h, BPF_H),
        ?HOLDS(bpf_b, BPF_B),
        ?HOLDS(bpf_imm, BPF_IMM),
        ?HOLDS(bpf_abs, BPF_ABS),
        ?HOLDS(bpf_ind, BPF_IND),
        ?HOLDS(bpf_mem, BPF_MEM),
        ?HOLDS(bpf_len, BPF_LEN),
        ?HOLDS(bpf_msh, BPF_MSH),
        ?HOLDS(bpf_add, BPF_ADD),
        ?HOLDS(bpf_sub, BPF_SUB),
        ?HOLDS(bpf_mul, BPF_MUL),
        ?HOLDS(bpf_div, BPF_DIV),
        ?HOLDS(bpf_or, BPF_OR),
        ?HOLDS(bpf_and, BPF_AND),
        ?HOLDS(bpf_lsh, BPF_LSH),
        ?HOLDS(bpf_rsh, BPF_RSH),
        ?HOLDS(bpf_neg, BPF_NEG),
        ?HOLDS(bpf_mod, BPF_MOD),
        ?HOLDS(bpf_xor, BPF_XOR),
        ?HOLDS(bpf_ja, BPF_JA),
        ?HOLDS(bpf_jeq, BPF_JEQ),
        ?HOLDS(bpf_jgt, BPF_JGT),
        ?HOLDS(bpf_jge, BPF_JGE),
        ?HOLDS(bpf_jset, BPF_JSET),
        ?HOLDS(bpf_k, BPF_K),
        ?HOLDS(bpf_x, BPF_X),
        ?HOLDS(bpf_a, BPF_A),
        ?HOLDS(bpf_tax, BPF_TAX),
        ?HOLDS(bpf_txa, BPF_TXA),
        ?HOLDS(bpf_maxinsns, BPF_MAXINSNS),
        ?HOLDS(bpf_maxbufsize, BPF_MAXBUFSIZE),
        ?HOLDS(bpf_minbufsize, BPF_MINBUFSIZE),
        ?HOLDS(bpf_memwords, BPF_MEMWORDS),
        ?HOLDS(bpf_major_version, BPF_MAJOR_VERSION),
        ?HOLDS(bpf_minor_version, BPF_MINOR_VERSION),
        ?HOLDS(bpf_alignment, BPF_ALIGNMENT),
        ?HOLDS(sizeof_int32_t, SIZEOF_INT32_T),
        ?HOLDS(sizeof_u_int, SIZEOF_U_INT),
        ?HOLDS(sizeof_struct_ifreq, SIZEOF_STRUCT_IFREQ),
        ?HOLDS(sizeof_struct_timeval, SIZEOF_STRUCT_TIMEVAL),
        ?HOLDS(sizeof_struct_bpf_program, SIZEOF_STRUCT_BPF_PROGRAM),
        ?HOLDS(sizeof_struct_bpf_stat, SIZEOF_STRUCT_BPF_STAT),
        ?HOLDS(sizeof_struct_bpf_version, SIZEOF_STRUCT_BPF_VERSION),
        ?HOLDS(sizeof_struct_bpf_dltlist, SIZEOF_STRUCT_BPF_DLTLIST),
        ?HOLDS(sizeof_struct_bpf_insn, SIZEOF_STRUCT_BPF_INSN),
        ?HOLDS(biocgblen, BIOCGBLEN),
        ?HOLDS(biocsblen, BIOCSBLEN),
        ?HOLDS(biocsetf, BIOCSETF),
        ?HOLDS(biocflush, BIOCFLUSH),
        ?HOLDS(biocpromisc, BIOCPROMISC),
        ?HOLDS(biocgdlt, BIOCGDLT),
        ?HOLDS(biocgetif, BIOCGETIF),
        ?HOLDS(biocsetif, BIOCSETIF),
        ?HOLDS(biocsrtimeout, BIOCSRTIMEOUT),
        ?HOLDS(biocgrtimeout, BIOCGRTIMEOUT),
        ?HOLDS(biocgstats, BIOCGSTATS),
        ?HOLDS(biocimmediate, BIOCIMMEDIATE),
        ?HOLDS(biocversion, BIOCVERSION),
        ?HOLDS(biocgrsig, BIOCGRSIG),
        ?HOLDS(biocsrsig, BIOCSRSIG),
        ?HOLDS(biocghdrcmplt, BIOCGHDRCMPLT),
        ?HOLDS(biocshdrcmplt, BIOCSHDRCMPLT),
        ?HOLDS(biocgseesent, BIOCGSEESENT),
        ?HOLDS(biocsseesent, BIOCSSEESENT),
        ?HOLDS(biocsdlt, BIOCSDLT),
        ?HOLDS(biocgdltlist, BIOCGDLTLIST)
    ].

?USES(backlog, BACKLOG).
?USES(ifnamsiz, IFNAMSIZ).
?USES(sock_stream, SOCK_STREAM).
?USES(sock_dgram, SOCK_DGRAM).
?USES(sock_raw, SOCK_RAW).
?USES(pf_unspec, PF_UNSPEC).
?USES(pf_local, PF_LOCAL).
?USES(pf_unix, PF_UNIX).
?USES(pf_inet, PF_INET).
?USES(pf_inet6, PF_INET6).
?USES(pf_packet, PF_PACKET).
?USES(unix_path_max, UNIX_PATH_MAX).
?USES(sol_socket, SOL_SOCKET).
?USES(so_reuseaddr, SO_REUSEADDR).
?USES(siocgifname, SIOCGIFNAME).
?USES(siocgifindex, SIOCGIFINDEX).
?USES(siocgifaddr, SIOCGIFADDR).
?USES(siocgifhwaddr, SIOCGIFHWADDR).
?USES(sol_packet, SOL_PACKET).
?USES(packet_add_membership, PACKET_ADD_MEMBERSHIP).
?USES(packet_drop_membership, PACKET_DROP_MEMBERSHIP).
?USES(packet_mr_promisc, PACKET_MR_PROMISC).
?USES(so_bindtodevice, SO_BINDTODEVICE).
?USES(so_attach_filter, SO_ATTACH_FILTER).
?USES(so_detach_filter, SO_DETACH_FILTER).
?USES(eth_p_ip, ETH_P_IP).
?USES(bpf_ld, BPF_LD).
?USES(bpf_ldx, BPF_LDX).
?USES(bpf_st, BPF_ST).
?USES(bpf_stx, BPF_STX).
?USES(bpf_alu, BPF_ALU).
?USES(bpf_jmp, BPF_JMP).
?USES(bpf_ret, BPF_RET).
?USES(bpf_misc, BPF_MISC).
?USES(bpf_w, BPF_W).
?USES(bpf_h, BPF_H).
?USES(bpf_b, BPF_B).
?USES(bpf_imm, BPF_IMM).
?USES(bpf_abs, BPF_ABS).
?USES(bpf_ind, BPF_IND).
?USES(bpf_mem, BPF_MEM).
?USES(bpf_len, BPF_LEN).
?USES(bpf_msh, BPF_MSH).
?USES(bpf_add, BPF_ADD).
?USES(bpf_sub, BPF_SUB).
?USES(bpf_mul, BPF_MUL).
?USES(bpf_div, BPF_DIV).
?USES(bpf_or, BPF_OR).
?USES(bpf_and, BPF_AND).
?USES(bpf_lsh, BPF_LSH).
?USES(bpf_rsh, BPF_RSH).
?USES(bpf_neg, BPF_NEG).
?USES(bpf_mod, BPF_MOD).
?USES(bpf_xor, BPF_XOR).
?USES(bpf_ja, BPF_JA).
?USES(bpf_jeq, BPF_JEQ).
?USES(bpf_jgt, BPF_JGT).
?USES(bpf_jge, BPF_JGE).
?USES(bpf_jset, BPF_JSET).
?USES(bpf_k, BPF_K).
?USES(bpf_x, BPF_X).
?USES(bpf_a, BPF_A).
?USES(bpf_tax, BPF_TAX).
?USES(bpf_txa, BPF_TXA).
?USES(bpf_maxinsns, BPF_MAXINSNS).
?USES(bpf_maxbufsize, BPF_MAXBUFSIZE).
?USES(bpf_minbufsize, BPF_MINBUFSIZE).
?USES(bpf_memwords, BPF_MEMWORDS).
?USES(bpf_major_version, BPF_MAJOR_VERSION).
?USES(bpf_minor_version, BPF_MINOR_VERSION).
?USES(bpf_alignment, BPF_ALIGNMENT).
?USES(sizeof_int32_t, SIZEOF_INT32_T).
?USES(sizeof_u_int, SIZEOF_U_INT).
?USES(sizeof_struct_ifreq, SIZEOF_STRUCT_IFREQ).
?USES(sizeof_struct_timeval, SIZEOF_STRUCT_TIMEVAL).
?USES(sizeof_struct_bpf_program, SIZEOF_STRUCT_BPF_PROGRAM).
?USES(sizeof_struct_bpf_stat, SIZEOF_STRUCT_BPF_STAT).
?USES(sizeof_struct_bpf_version, SIZEOF_STRUCT_BPF_VERSION).
?USES(sizeof_struct_bpf_dltlist, SIZEOF_STRUCT_BPF_DLTLIST).
?USES(sizeof_struct_bpf_insn, SIZEOF_STRUCT_BPF_INSN).
?USES(biocgblen, BIOCGBLEN).
?USES(biocsblen, BIOCSBLEN).
?USES(biocsetf, BIOCSETF).
?USES(biocflush, BIOCFLUSH).
?USES(biocpromisc, BIOCPROMISC).
?USES(biocgdlt, BIOCGDLT).
?USES(biocgetif, BIOCGETIF).
?USES(biocsetif, BIOCSETIF).
?USES(biocsrtimeout, BIOCSRTIMEOUT).
?USES(biocgrtimeout, BIOCGRTIMEOUT).
?USES(biocgstats, BIOCGSTATS).
?USES(biocimmediate, BIOCIMMEDIATE).
?USES(biocversion, BIOCVERSION).
?USES(biocgrsig, BIOCGRSIG).
?USES(biocsrsig, BIOCSRSIG).
?USES(biocghdrcmplt, BIOCGHDRCMPLT).
?USES(biocshdrcmplt, BIOCSHDRCMPLT).
?USES(biocgseesent, BIOCGSEESENT).
?USES(biocsseesent, BIOCSSEESENT).
?USES(biocsdlt, BIOCSDLT).
?USES(biocgdltlist, BIOCGDLTLIST).
