%% @private
%% Opens what a socket of `gen_raw' captures from, and starts its capture process: docs/protocol.md, "Functions of a capture".
-module(procket_raw_start).

-export([start/2, close/1, info/2]).

-export_type([capture/0, interface/0]).

-type capture() :: #{port := port(), channel := procket_channel:channel(), os_pid := pos_integer(), interface := interface()}.
-type interface() :: any | none | {Name :: binary(), Index :: pos_integer(), MAC :: binary(), MTU :: integer(), Hardware :: integer()}.

-define(TIMEOUT, 10_000).

%% The calling process gets the messages of the port.
-spec start(procket_raw_options:options(), Credit :: pos_integer()) ->
    {ok, capture()} | {error, procket:posix() | {filter, string()}}.
start(#{source := {fd, FD}, filter := {expression, _}}, _Credit) when is_integer(FD) ->
    {error, {filter, "an expression is compiled for an interface; for a descriptor there are instructions"}};
start(#{source := {fd, FD}} = Options, Credit) ->
    connect(Options, Credit, descriptor, [], [FD]);
start(#{source := {interface, Name}, link := Link, open := Open} = Options, Credit) ->
    %% Of no protocol, so that nothing comes in before the filter is there.
    Type = case Link of raw -> raw; cooked -> dgram end,
    case procket:open(0, [{family, packet}, {type, Type}, {protocol, 0} | Open]) of
        {ok, Packet} ->
            try procket:open(0, [{family, netlink}, {type, raw}, {protocol, 0} | Open]) of
                {ok, Netlink} ->
                    try
                        connect(Options, Credit, packet, [Name], [Packet, Netlink])
                    after
                        procket:close(Netlink)
                    end;
                {error, _} = Error ->
                    Error
            after
                procket:close(Packet)
            end;
        {error, _} = Error ->
            Error
    end.

connect(Options, Credit, Function, Args, FDs) ->
    case procket_start:connect(#{command => procket_command:capture()}) of
        {ok, Port, Channel, OsPid} ->
            case introduce(Options, Credit, Port, Channel, {Function, Args, FDs}) of
                {ok, Interface} ->
                    {ok, #{port => Port, channel => Channel, os_pid => OsPid, interface => Interface}};
                {error, _} = Error ->
                    procket_start:close_port(Port),
                    procket_channel:close(Channel),
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

introduce(Options, Credit, Port, Channel, {Function, Args, FDs}) ->
    maybe_chain([
        fun(_) -> given(procket_channel:send(Channel, <<0:16>>, <<>>, FDs, ?TIMEOUT)) end,
        fun(_) -> interface(Function, request(Port, Function, Args)) end,
        fun(Interface) -> with(Interface, procket_filter:program(Options, hardware(Interface))) end,
        fun({Interface, Program}) -> with(Interface, begin_capture(Port, Options, Program, Credit)) end,
        fun({Interface, started}) -> {ok, Interface} end
    ]).

maybe_chain(Steps) ->
    lists:foldl(
        fun
            (Step, {ok, Value}) -> Step(Value);
            (_Step, {error, _} = Error) -> Error
        end,
        {ok, start},
        Steps
    ).

given(ok) -> {ok, given};
given({error, closed}) -> {error, epipe};
given({error, _} = Error) -> Error.

with(Value, {ok, Result}) -> {ok, {Value, Result}};
with(_Value, {error, _} = Error) -> Error.

begin_capture(Port, Options, Program, Credit) ->
    #{snaplen := Snaplen, buffer := Buffer} = Options,
    Flag = fun(Key, Value) -> case Options of #{Key := Value} -> 1; #{} -> 0 end end,
    Args = [
        procket_filter:bound(Options), Snaplen, Flag(promiscuous, true), Buffer, Flag(timestamps, true), Flag(link, cooked), Program, Credit
    ],
    case request(Port, start, Args) of
        ok -> {ok, started};
        %% Whatever it is, it is the program that the kernel does not take.
        {error, einval} when Program =/= <<>> -> {error, {filter, "the kernel refuses the program"}};
        {error, Reason} -> {error, Reason}
    end.

%% What is asked of the capture process before it sends packets.
request(Port, Function, Args) ->
    Id = make_ref(),
    case procket_start:command(Port, term_to_binary({Id, Function, Args})) of
        ok -> await(Port, Id);
        {error, _} = Error -> Error
    end.

await(Port, Id) ->
    receive
        {Port, {data, Data}} ->
            case binary_to_term(Data) of
                {Id, Result} -> Result;
                %% A packet that is already there: it stands behind the answer, and this is not it.
                _ -> {error, eproto}
            end;
        {Port, {exit_status, _}} ->
            {error, epipe};
        {'EXIT', Port, _} ->
            {error, epipe}
    after ?TIMEOUT ->
        {error, etimedout}
    end.

interface(packet, ok) -> {ok, any};
interface(packet, {ok, Name, Index, MAC, MTU, Hardware}) -> {ok, {Name, Index, MAC, MTU, Hardware}};
interface(descriptor, ok) -> {ok, none};
interface(_, {error, _} = Error) -> Error.

hardware({_Name, _Index, _MAC, _MTU, Hardware}) -> Hardware;
hardware(any) -> any;
hardware(none) -> none.

%% What is left once its port is closed.
-spec close(capture()) -> ok.
close(#{channel := Channel}) ->
    procket_channel:close(Channel).

%% What `gen_raw:info/1' says, from what the capture process says.
-spec info(procket_raw_options:options(), term()) -> {ok, gen_raw:info()} | {error, procket:posix()}.
info(#{source := {fd, FD}}, ok) ->
    {ok, #{fd => FD}};
info(#{link := Link}, ok) ->
    {ok, #{interface => "any", index => 0, link => Link, link_type => procket_filter:link_type(any, Link)}};
info(#{link := Link}, {ok, Name, Index, MAC, MTU, Hardware}) ->
    {ok, #{
        interface => binary_to_list(Name),
        index => Index,
        mac => list_to_tuple(binary_to_list(MAC)),
        mtu => MTU,
        hardware => Hardware,
        link => Link,
        link_type => procket_filter:link_type(Hardware, Link)
    }};
info(_Options, {error, _} = Error) ->
    Error.
