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
    connect(fun(Port, Channel) ->
        maybe_chain([
            fun(_) -> done(given(Port, Channel, FD, descriptor, [])) end,
            fun(_) -> procket_filter:program(Options, none) end,
            fun(Program) -> begin_capture(Port, Options, Program, Credit) end,
            fun(started) -> {ok, none} end
        ])
    end);
start(#{source := {interface, Name}, open := Open} = Options, Credit) ->
    case procket:open(0, [{family, netlink}, {type, raw}, {protocol, 0} | Open]) of
        {ok, Netlink} ->
            try
                connect(fun(Port, Channel) ->
                    maybe_chain([
                        fun(_) -> interface(given(Port, Channel, Netlink, interface, [Name])) end,
                        fun(Interface) -> with(Interface, procket_filter:program(Options, hardware(Interface))) end,
                        fun({Interface, Program}) -> with(Interface, packets(Port, Channel, Options, Interface, Program)) end,
                        fun({Interface, done}) -> with(Interface, begin_capture(Port, Options, <<>>, Credit)) end,
                        fun({Interface, started}) -> {ok, Interface} end
                    ])
                end)
            after
                procket:close(Netlink)
            end;
        {error, _} = Error ->
            Error
    end.

connect(Introduce) ->
    case procket_start:connect(#{command => procket_command:capture()}) of
        {ok, Port, Channel, OsPid} ->
            case Introduce(Port, Channel) of
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

%% The packet socket comes with its filter: the opener may lock that.
packets(Port, Channel, #{link := Link, open := Open}, Interface, Program) ->
    Type = case Link of raw -> raw; cooked -> dgram end,
    case procket_open:capture(Type, name(Interface), Program, Open) of
        {ok, Packet} ->
            try
                done(given(Port, Channel, Packet, packet, []))
            after
                procket:close(Packet)
            end;
        %% Nothing else of a packet socket takes what this limits.
        {error, enomem} when Program =/= <<>> ->
            {error, {filter, "the kernel has no room for the program: net.core.optmem_max is too low"}};
        {error, Reason} ->
            refused(Reason, Program)
    end.

maybe_chain(Steps) ->
    lists:foldl(
        fun
            (Step, {ok, Value}) -> Step(Value);
            (_Step, {error, _} = Error) -> Error
        end,
        {ok, start},
        Steps
    ).

%% Gives the capture process a descriptor, and says what it is.
given(Port, Channel, FD, Function, Args) ->
    case procket_channel:send(Channel, <<0:16>>, <<>>, [FD], ?TIMEOUT) of
        ok -> request(Port, Function, Args);
        {error, closed} -> {error, epipe};
        {error, _} = Error -> Error
    end.

done(ok) -> {ok, done};
done({error, _} = Error) -> Error.

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
        {error, Reason} -> refused(Reason, Program)
    end.

%% Whatever it is, it is the program that the kernel does not take.
refused(einval, Program) when Program =/= <<>> -> {error, {filter, "the kernel refuses the program"}};
refused(Reason, _Program) -> {error, Reason}.

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

interface(ok) -> {ok, any};
interface({ok, Name, Index, MAC, MTU, Hardware}) -> {ok, {Name, Index, MAC, MTU, Hardware}};
interface({error, _} = Error) -> Error.

name({Name, _Index, _MAC, _MTU, _Hardware}) -> Name;
name(any) -> <<>>.

hardware({_Name, _Index, _MAC, _MTU, Hardware}) -> Hardware;
hardware(any) -> any.

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
