%% @private
%% The options of `gen_raw:open/2', checked.
-module(gen_raw_opts).

-export([parse/2, active/1]).

-export_type([options/0, source/0]).

-type source() :: {interface, binary()} | {fd, procket:fd()}.
%% The name of all interfaces is empty.
-type options() :: #{
    source := source(),
    active := gen_raw:active(),
    filter := none | {expression, string()} | {instructions, binary()},
    protocol := 0..16#ffff,
    snaplen := pos_integer(),
    promiscuous := boolean(),
    direction := in | out | both,
    buffer := pos_integer(),
    timestamps := boolean(),
    link := raw | cooked,
    open := [procket:open_opt()]
}.

%% No kernel has longer names of interfaces, in bytes.
-define(MAX_NAME, 255).
%% linux/if_ether.h: ETH_P_ALL
-define(ETH_P_ALL, 3).
-define(SNAPLEN, 262_144).
-define(BUFFER, 16_777_216).
-define(MAX_BUFFER, 16#40000000).
%% BPF_MAXINSNS of linux/bpf_common.h, without those that a direction and an opener put in front.
-define(MAX_INSTRUCTIONS, 4084).

%% Raises `badarg' for what is no option, or not with this source.
-spec parse(gen_raw:source(), [gen_raw:option()]) -> options().
parse(Source, Options) when is_list(Options), length(Options) >= 0 ->
    Defaults = #{
        source => source(Source),
        active => false,
        filter => none,
        protocol => ?ETH_P_ALL,
        snaplen => ?SNAPLEN,
        promiscuous => false,
        direction => both,
        buffer => ?BUFFER,
        timestamps => false,
        link => raw,
        open => []
    },
    %% The first of each counts.
    lists:foldr(fun option/2, Defaults, Options);
parse(_Source, Options) ->
    procket_error:badarg({options, Options}).

source({fd, FD}) when is_integer(FD), FD >= 0 -> {fd, FD};
source("any") -> {interface, <<>>};
source(<<"any">>) -> {interface, <<>>};
source(Name) when is_list(Name); is_binary(Name) ->
    try list_to_binary([Name]) of
        Binary when Binary =/= <<>>, byte_size(Binary) =< ?MAX_NAME -> {interface, Binary};
        _ -> procket_error:badarg({source, Name})
    catch
        error:badarg -> procket_error:badarg({source, Name})
    end;
source(Source) -> procket_error:badarg({source, Source}).

option({active, Value} = Option, Options) ->
    case active(Value) of
        true -> Options#{active := Value};
        false -> bad(Option)
    end;
option({filter, Filter}, Options) ->
    Options#{filter := filter(Filter)};
option({snaplen, Bytes}, Options) when is_integer(Bytes), Bytes > 0, Bytes =< ?SNAPLEN ->
    Options#{snaplen := Bytes};
option({timestamps, Value}, Options) when is_boolean(Value) ->
    Options#{timestamps := Value};
option(Option, #{source := {fd, _}}) ->
    bad(Option);
option({protocol, EtherType}, Options) when is_integer(EtherType), EtherType >= 0, EtherType =< 16#ffff ->
    Options#{protocol := EtherType};
option({promiscuous, Value}, Options) when is_boolean(Value) ->
    Options#{promiscuous := Value};
option({direction, Value}, Options) when Value =:= in; Value =:= out; Value =:= both ->
    Options#{direction := Value};
option({buffer, Bytes}, Options) when is_integer(Bytes), Bytes > 0, Bytes =< ?MAX_BUFFER ->
    Options#{buffer := Bytes};
option({link, Value}, Options) when Value =:= raw; Value =:= cooked ->
    Options#{link := Value};
option({Key, _} = Option, #{open := Open} = Options) when Key =:= namespace; Key =:= exec; Key =:= progname ->
    ok = procket_open:check(Option),
    Options#{open := [Option | Open]};
option(Option, _Options) ->
    bad(Option).

-spec active(term()) -> boolean().
active(Value) when Value =:= true; Value =:= false; Value =:= once -> true;
active(N) -> is_integer(N) andalso N >= 1 andalso N =< 32767.

filter([]) ->
    none;
filter(<<Expression/binary>>) ->
    filter(unicode:characters_to_list(Expression));
filter([First | _] = Expression) when is_integer(First) ->
    case io_lib:printable_unicode_list(Expression) of
        true -> {expression, Expression};
        false -> bad({filter, Expression})
    end;
filter(Instructions) when is_list(Instructions), length(Instructions) =< ?MAX_INSTRUCTIONS ->
    try
        {instructions, procket_insn:program(Instructions)}
    catch
        error:_ -> bad({filter, Instructions})
    end;
filter(Filter) ->
    bad({filter, Filter}).

-spec bad(term()) -> no_return().
bad(Option) ->
    procket_error:badarg({option, Option}).
