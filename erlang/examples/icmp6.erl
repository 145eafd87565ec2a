%% @doc IPv6 ping, with a kernel filter that lets only echo replies through. The kernel makes the checksum: RFC 3542.
%%
%% ```
%% 1> c("erlang/examples/icmp6.erl").
%% 2> icmp6:ping({0,0,0,0,0,0,0,1}).
%% {ok,#{sequence => 1,microseconds => 88}}
%% '''
-module(icmp6).

-export([ping/1, ping/2]).

-define(ECHO, 128).
-define(ECHO_REPLY, 129).

-type reply() :: #{sequence := non_neg_integer(), microseconds := integer()}.

%% @equiv ping(Host, [])
-spec ping(inet:ip6_address()) -> {ok, reply()} | {error, timeout | procket:posix()}.
ping(Host) ->
    ping(Host, []).

%% @doc As {@link icmp:ping/2}.
-spec ping(inet:ip6_address(), [{timeout, timeout()} | {sequence, 0..65535} | procket:open_opt()]) ->
    {ok, reply()} | {error, timeout | procket:posix()}.
ping(Host, Options) ->
    case procket:open(0, [{protocol, icmp6} | Options]) of
        {ok, FD} ->
            try
                ok = procket:setsockopt(FD, 'IPPROTO_ICMPV6', 'ICMP6_FILTER', pass_only(?ECHO_REPLY)),
                exchange(FD, Host, Options)
            after
                procket:close(FD)
            end;
        {error, _} = Error ->
            Error
    end.

exchange(FD, Host, Options) ->
    Id = rand:uniform(16#10000) - 1,
    Sequence = proplists:get_value(sequence, Options, 1),
    Address = <<<<N:16>> || N <- tuple_to_list(Host)>>,
    Sockaddr = <<(procket:sockaddr_common(procket:family(inet6), 28))/binary, 0:16, 0:32, Address/binary, 0:32>>,
    Timer = erlang:start_timer(proplists:get_value(timeout, Options, 5000), self(), ping),
    Start = erlang:monotonic_time(microsecond),
    Result =
        case procket:sendto(FD, <<?ECHO, 0, 0:16, Id:16, Sequence:16, "procket">>, 0, Sockaddr) of
            ok -> await(FD, Id, Sequence, Start, Timer);
            {error, _} = Error -> Error
        end,
    _ = erlang:cancel_timer(Timer),
    Result.

await(FD, Id, Sequence, Start, Timer) ->
    case procket:recvfrom(FD, 65535) of
        {ok, <<?ECHO_REPLY, 0, _:16, Id:16, Sequence:16, _/binary>>} ->
            {ok, #{sequence => Sequence, microseconds => erlang:monotonic_time(microsecond) - Start}};
        {ok, _} ->
            await(FD, Id, Sequence, Start, Timer);
        {error, eagain} ->
            ok = procket:select(FD, read),
            receive
                {procket, FD, ready, read} ->
                    await(FD, Id, Sequence, Start, Timer);
                {procket, FD, error, Reason} ->
                    {error, Reason};
                {timeout, Timer, ping} ->
                    procket:select_stop(FD),
                    {error, timeout}
            end;
        {error, _} = Error ->
            Error
    end.

%% struct icmp6_filter: a bit for each type, set where it is blocked.
pass_only(Type) ->
    <<<<(word(Word, Type)):32/native>> || Word <- lists:seq(0, 7)>>.

word(Word, Type) when Type div 32 =:= Word -> 16#ffffffff bxor (1 bsl (Type rem 32));
word(_Word, _Type) -> 16#ffffffff.
