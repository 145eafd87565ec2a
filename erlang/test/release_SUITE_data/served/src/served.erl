%% A release, and an escript whose argument is the port program.
-module(served).
-behaviour(application).

-export([start/2, stop/1, main/1]).

start(_Type, _Args) ->
    {ok, spawn_link(fun() ->
        report(),
        init:stop(),
        receive after infinity -> ok end
    end)}.

stop(_State) ->
    ok.

main(Args) ->
    _ = [application:set_env(procket, port_executable, Path) || Path <- Args],
    report().

report() ->
    Result = procket:open(53, [{protocol, udp}, {ip, "127.0.0.1"}, {exec, [""]}]),
    Filtered = gen_raw:open("lo", [{filter, "udp port 53"}, {exec, [""]}]),
    %% What is logged comes first.
    ok = logger_std_h:filesync(procket),
    io:format("~ts ~0p~nfiltered: ~0p~npassed: ~0p~n", [procket:progname(), Result, Filtered, procket:listen_fds()]).
