%% @private
%% `badarg' that names the argument, in the way of OTP's own modules (EEP 54).
-module(procket_error).

-export([badarg/1, format_error/2]).

-type cause() :: {option, term()} | {Function :: atom(), Argument :: pos_integer()} | {atom(), term()}.

%% Raises `badarg'; the shell and the logger say which argument it is about.
-spec badarg(cause()) -> no_return().
badarg(Cause) ->
    erlang:error(badarg, none, [{error_info, #{cause => Cause}}]).

-spec format_error(term(), list()) -> #{general => string()}.
format_error(_Reason, [{_Module, _Function, _Args, Info} | _]) ->
    #{general => general(maps:get(cause, proplists:get_value(error_info, Info, #{}), undefined))}.

general({option, Option}) -> format("bad option ~tp", [Option]);
general({Function, N}) when is_integer(N) -> format("bad argument ~b of ~ts", [N, Function]);
general({What, Value}) -> format("bad ~ts: ~tp", [What, Value]);
general(undefined) -> "bad argument".

format(Format, Args) ->
    lists:flatten(io_lib:format(Format, Args)).
