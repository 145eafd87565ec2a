%% @doc Shows the packets of an interface that pass a filter in the kernel.
%%
%% ```
%% 1> c("erlang/examples/sniff.erl", [{i, "erlang/include"}]).
%% 2> spawn(fun() -> sniff:start("lo", 10, fun(Frame) -> io:format("~p~n", [Frame]) end, [{udp_port, 53}]) end).
%% '''
-module(sniff).

-export([start/3, start/4, udp_port_filter/1]).

-include("packet.hrl").
-include("bpf.hrl").

%% All protocols: ETH_P_ALL of linux/if_ether.h, in network order.
-define(ETH_P_ALL, 16#0300).
-define(ETHERTYPE_IP, 16#0800).
-define(IPPROTO_UDP, 17).

%% @equiv start(Interface, Count, Fun, [])
-spec start(string(), pos_integer(), fun((binary()) -> term())) -> ok | {error, procket:posix()}.
start(Interface, Count, Fun) ->
    start(Interface, Count, Fun, []).

%% @doc Calls `Fun' with the next `Count' frames. Options: `{udp_port, Port}', only IPv4 packets from or to that port;
%% `{promiscuous, true}'; and those of {@link procket:open/2}.
-spec start(string(), pos_integer(), fun((binary()) -> term()), [
    {udp_port, inet:port_number()} | {promiscuous, boolean()} | procket:open_opt()
]) -> ok | {error, procket:posix()}.
start(Interface, Count, Fun, Options) ->
    %% Of no protocol, so that nothing comes in before the filter is there.
    case procket:open(0, [{protocol, 0}, {type, raw}, {family, packet} | Options]) of
        {ok, FD} ->
            try
                Index = packet:ifindex(FD, Interface),
                _ = [{ok, _} = packet:filter(FD, udp_port_filter(Port)) || {udp_port, Port} <- Options],
                _ = [ok = packet:promiscuous(FD, Index) || {promiscuous, true} <- Options],
                ok = procket:bind(FD, sockaddr_ll(Index)),
                loop(FD, Count, Fun)
            after
                procket:close(FD)
            end;
        {error, _} = Error ->
            Error
    end.

%% struct sockaddr_ll
sockaddr_ll(Index) ->
    <<(procket:sockaddr_common(procket:family(packet), 20))/binary, ?ETH_P_ALL:16/native, Index:32/native, 0:96>>.

loop(_FD, 0, _Fun) ->
    ok;
loop(FD, Count, Fun) ->
    case procket:recvfrom(FD, 65535) of
        {ok, Frame} ->
            _ = Fun(Frame),
            loop(FD, Count - 1, Fun);
        {error, eagain} ->
            ok = procket:select(FD, read),
            receive
                {procket, FD, ready, read} -> loop(FD, Count, Fun);
                {procket, FD, error, Reason} -> {error, Reason}
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc IPv4, UDP, no fragment, source or destination port `Port'; an Ethernet header before it.
-spec udp_port_filter(inet:port_number()) -> [binary()].
udp_port_filter(Port) ->
    [
        ?BPF_STMT(?BPF_LD + ?BPF_H + ?BPF_ABS, 12),
        ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, ?ETHERTYPE_IP, 0, 9),
        ?BPF_STMT(?BPF_LD + ?BPF_B + ?BPF_ABS, 23),
        ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, ?IPPROTO_UDP, 0, 7),
        ?BPF_STMT(?BPF_LD + ?BPF_H + ?BPF_ABS, 20),
        ?BPF_JUMP(?BPF_JMP + ?BPF_JSET + ?BPF_K, 16#1fff, 5, 0),
        ?BPF_STMT(?BPF_LDX + ?BPF_B + ?BPF_MSH, 14),
        ?BPF_STMT(?BPF_LD + ?BPF_H + ?BPF_IND, 14),
        ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, Port, 3, 0),
        ?BPF_STMT(?BPF_LD + ?BPF_H + ?BPF_IND, 16),
        ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, Port, 1, 0),
        ?BPF_STMT(?BPF_RET + ?BPF_K, 0),
        ?BPF_STMT(?BPF_RET + ?BPF_K, 16#ffffffff)
    ].
