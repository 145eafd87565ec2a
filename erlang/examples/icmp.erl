%% @doc IPv4 ping over a raw socket that an opener opened.
%%
%% ```
%% 1> c("erlang/examples/icmp.erl").
%% 2> icmp:ping({127,0,0,1}).
%% {ok,#{sequence => 1,ttl => 64,microseconds => 104}}
%% '''
-module(icmp).

-export([ping/1, ping/2]).

-define(ECHO_REPLY, 0).
-define(ECHO, 8).

-type reply() :: #{sequence := non_neg_integer(), ttl := byte(), microseconds := integer()}.

%% @equiv ping(Host, [])
-spec ping(inet:ip4_address()) -> {ok, reply()} | {error, timeout | procket:posix()}.
ping(Host) ->
    ping(Host, []).

%% @doc Sends one echo request and waits for its reply.
%%
%% Options: `{timeout, Milliseconds}' (default 5000), `{sequence, 0..65535}' (default 1), and those of {@link procket:open/2}.
-spec ping(inet:ip4_address(), [{timeout, timeout()} | {sequence, 0..65535} | procket:open_opt()]) ->
    {ok, reply()} | {error, timeout | procket:posix()}.
ping(Host, Options) ->
    case procket:open(0, [{protocol, icmp} | Options]) of
        {ok, FD} ->
            {ok, Socket} = gen_udp:open(0, [{fd, FD}, binary, {active, true}]),
            try
                exchange(Socket, Host, Options)
            after
                gen_udp:close(Socket),
                procket:close(FD)
            end;
        {error, _} = Error ->
            Error
    end.

exchange(Socket, Host, Options) ->
    Id = rand:uniform(16#10000) - 1,
    Sequence = proplists:get_value(sequence, Options, 1),
    Timer = erlang:start_timer(proplists:get_value(timeout, Options, 5000), self(), ping),
    Start = erlang:monotonic_time(microsecond),
    Result =
        case gen_udp:send(Socket, Host, 0, echo(Id, Sequence, <<"procket ping, 32 bytes of data..">>)) of
            ok -> await(Socket, Id, Sequence, Start, Timer);
            {error, _} = Error -> Error
        end,
    _ = erlang:cancel_timer(Timer),
    Result.

await(Socket, Id, Sequence, Start, Timer) ->
    receive
        {udp, Socket, _, _, <<4:4, Words:4, _:56, TTL, _/binary>> = Packet} ->
            case binary:part(Packet, Words * 4, byte_size(Packet) - Words * 4) of
                <<?ECHO_REPLY, 0, _:16, Id:16, Sequence:16, _/binary>> ->
                    Time = erlang:monotonic_time(microsecond) - Start,
                    {ok, #{sequence => Sequence, ttl => TTL, microseconds => Time}};
                _ ->
                    await(Socket, Id, Sequence, Start, Timer)
            end;
        {timeout, Timer, ping} ->
            {error, timeout}
    end.

echo(Id, Sequence, Data) ->
    Sum = packet:makesum(<<?ECHO, 0, 0:16, Id:16, Sequence:16, Data/binary>>),
    <<?ECHO, 0, Sum:16, Id:16, Sequence:16, Data/binary>>.
