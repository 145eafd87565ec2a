%% @private
%% Descriptors of the BEAM, closed with what OTP's `prim_file' exports (there is no documented way).
-module(procket_fd).

-export([close/1, into_socket/1]).

%% Closes a descriptor, whatever it is. See close(2).
-spec close(procket:fd()) -> ok | {error, procket:posix()}.
close(FD) when FD > 16#7fffffff ->
    {error, ebadf};
close(FD) ->
    case prim_file:file_desc_to_ref(FD, []) of
        {ok, Ref} -> prim_file:close(Ref);
        {error, Reason} -> {error, Reason}
    end.

%% An OTP socket in place of a descriptor: the descriptor is closed, the socket has a duplicate that it closes itself.
-spec into_socket(procket:fd()) -> {ok, socket:socket()} | {error, procket:posix() | {invalid, term()}}.
into_socket(FD) ->
    try
        socket:open(FD, #{dup => true})
    after
        _ = close(FD)
    end.
