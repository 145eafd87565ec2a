%% @private
%% Descriptors of the BEAM, closed with what OTP's `prim_file' exports (there is no documented way).
-module(procket_fd).

-export([close/1]).

%% Closes a descriptor, whatever it is. See close(2).
-spec close(procket:fd()) -> ok | {error, procket:posix()}.
close(FD) when FD > 16#7fffffff ->
    {error, ebadf};
close(FD) ->
    case prim_file:file_desc_to_ref(FD, []) of
        {ok, Ref} -> prim_file:close(Ref);
        {error, Reason} -> {error, Reason}
    end.
