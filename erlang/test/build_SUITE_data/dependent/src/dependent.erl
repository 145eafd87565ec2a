-module(dependent).
-export([main/0]).

-include_lib("procket/include/procket.hrl").
-include_lib("procket/include/ioctl.hrl").
-include_lib("procket/include/packet.hrl").
-include_lib("procket/include/bpf.hrl").

main() ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {type, dgram}]),
    {ok, _} = procket:getsockname(FD, <<0:(16 * 8)>>),
    ok = procket:close(FD),
    true = is_integer(?PF_INET),
    io:put_chars("ok\n"),
    halt().
