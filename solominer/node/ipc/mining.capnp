# What solominer calls of Bitcoin Core's mining interface, releases 31 and later. Numbers, types and defaults are those
# of Bitcoin Core, since they go over the wire; methods that are not called stand here only for their numbers.

@0xbd1f7c9a0e5b4d33;

struct Context @0x9c44e6645d0b22c6 {
    thread @0 :Thread;
    callbackThread @1 :Thread;
}

interface Thread @0x81c1e2600d0b56c5 {
    getName @0 () -> (result :Text);
}

interface ThreadMap @0xee5e37179ad9dc9d {
    makeThread @0 (name :Text) -> (result :Thread);
}

interface Init @0x8838c700ba5cba65 {
    construct @0 (threadMap :ThreadMap) -> (threadMap :ThreadMap);
    unused1 @1 () -> ();
    unused2 @2 () -> ();
    makeMining @3 (context :Context) -> (result :Mining);
}

struct BlockRef @0xa9a3c2c4f4a3c1d1 {
    hash @0 :Data;
    height @1 :Int32;
}

interface Mining @0xf9c68436df3af39e {
    unused0 @0 () -> ();
    unused1 @1 () -> ();
    getTip @2 (context :Context) -> (result :BlockRef, hasResult :Bool);
    unused3 @3 () -> ();
    createNewBlock @4 (context :Context, options :BlockCreateOptions, cooldown :Bool = true) -> (result :BlockTemplate);
    unused5 @5 () -> ();
    interrupt @6 () -> ();
}

struct BlockCreateOptions @0x80fca083ef81a559 {
    useMempool @0 :Bool = true;
    blockReservedWeight @1 :UInt64 = 8000;
    coinbaseOutputMaxAdditionalSigops @2 :UInt64 = 400;
}

struct BlockWaitOptions @0xa4c4a2a7e5a0d3b6 {
    timeout @0 :Float64 = 1.7976931348623157e308;
    feeThreshold @1 :Int64 = 2100000000000000;
}

struct CoinbaseTx @0xdc399c6d34ae7e69 {
    version @0 :UInt32;
    sequence @1 :UInt32;
    scriptSigPrefix @2 :Data;
    witness @3 :Data;
    blockRewardRemaining @4 :Int64;
    requiredOutputs @5 :List(Data);
    lockTime @6 :UInt32;
}

interface BlockTemplate @0xf9671ad841b2f622 {
    destroy @0 (context :Context) -> ();
    getBlockHeader @1 (context :Context) -> (result :Data);
    getBlock @2 (context :Context) -> (result :Data);
    getTxFees @3 (context :Context) -> (result :List(Int64));
    getTxSigops @4 (context :Context) -> (result :List(Int64));
    getCoinbaseTx @5 (context :Context) -> (result :CoinbaseTx);
    getCoinbaseMerklePath @6 (context :Context) -> (result :List(Data));
    submitSolution31 @7 (context :Context, version :UInt32, timestamp :UInt32, nonce :UInt32, coinbase :Data)
        -> (result :Bool);
    waitNext @8 (context :Context, options :BlockWaitOptions) -> (result :BlockTemplate);
    unused9 @9 () -> ();
    submitSolution @10 (context :Context, version :UInt32, timestamp :UInt32, nonce :UInt32, coinbase :Data)
        -> (reason :Text, debug :Text, result :Bool);
}
