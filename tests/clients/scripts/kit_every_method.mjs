// @solana/kit: every method of its RPC, once.
import { airdropFactory, createSolanaRpc, createSolanaRpcSubscriptions, generateKeyPairSigner, lamports } from '@solana/kit';
import { Connection, Keypair } from '@solana/web3.js';
import { createMint, getOrCreateAssociatedTokenAccount, mintTo } from '@solana/spl-token';
import { end, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions(wsUrl);
const program = process.argv[4];
const commitment = 'confirmed';
const tokenProgram = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';

// Something to read: an account with lamports, a transaction of a slot, a token.
const payer = Keypair.generate();
const key = payer.publicKey.toBase58();
const signature = await airdropFactory({ rpc, rpcSubscriptions })({ commitment, recipientAddress: key, lamports: lamports(5_000_000_000n) });
const connection = new Connection(rpcUrl, { commitment, wsEndpoint: wsUrl });
const mint = await createMint(connection, payer, payer.publicKey, null, 6);
const tokens = (await getOrCreateAssociatedTokenAccount(connection, payer, mint, payer.publicKey)).address;
await mintTo(connection, payer, mint, tokens, payer, 1_500_000);
const { slot } = (await rpc.getSignatureStatuses([signature]).send()).value[0];
const { blockhash } = (await rpc.getLatestBlockhash({ commitment }).send()).value;
const { transaction: [wire] } = await rpc.getTransaction(signature, { commitment, encoding: 'base64' }).send();
// A transaction on the wire is the count of its signatures, these, and the message.
const message = Buffer.from(Buffer.from(wire, 'base64').subarray(1 + 64)).toString('base64');

const questions = {
  getAccountInfo: [key, { commitment, encoding: 'base64' }],
  getBalance: [key, { commitment }],
  getBlock: [slot, { commitment, encoding: 'json', maxSupportedTransactionVersion: 0 }],
  getBlockCommitment: [slot],
  getBlockHeight: [{ commitment }],
  getBlockProduction: [{ commitment }],
  getBlocks: [slot, slot + 2n, { commitment }],
  getBlocksWithLimit: [slot, 3, { commitment }],
  getBlockTime: [slot],
  getClusterNodes: [],
  getEpochInfo: [{ commitment }],
  getEpochSchedule: [],
  getFeeForMessage: [message, { commitment }],
  getFirstAvailableBlock: [],
  getGenesisHash: [],
  getHealth: [],
  getHighestSnapshotSlot: [],
  getIdentity: [],
  getInflationGovernor: [{ commitment }],
  getInflationRate: [],
  getInflationReward: [[key]],
  getLargestAccounts: [{ commitment }],
  getLatestBlockhash: [{ commitment }],
  getLeaderSchedule: [null, { commitment }],
  getMaxRetransmitSlot: [],
  getMaxShredInsertSlot: [],
  getMinimumBalanceForRentExemption: [165n],
  getMultipleAccounts: [[key, mint.toBase58()], { commitment, encoding: 'jsonParsed' }],
  getProgramAccounts: [program, { commitment, encoding: 'base64', dataSlice: { offset: 0, length: 8 } }],
  getRecentPerformanceSamples: [3],
  getRecentPrioritizationFees: [[key]],
  getSignatureStatuses: [[signature], { searchTransactionHistory: true }],
  getSignaturesForAddress: [key, { commitment, limit: 2 }],
  getSlot: [{ commitment }],
  getSlotLeader: [{ commitment }],
  getSlotLeaders: [slot, 3],
  getStakeMinimumDelegation: [{ commitment }],
  getSupply: [{ commitment }],
  getTokenAccountBalance: [tokens.toBase58(), { commitment }],
  getTokenAccountsByDelegate: [key, { programId: tokenProgram }, { commitment, encoding: 'jsonParsed' }],
  getTokenAccountsByOwner: [key, { mint: mint.toBase58() }, { commitment, encoding: 'jsonParsed' }],
  getTokenLargestAccounts: [mint.toBase58(), { commitment }],
  getTokenSupply: [mint.toBase58(), { commitment }],
  getTransaction: [signature, { commitment, encoding: 'jsonParsed', maxSupportedTransactionVersion: 0 }],
  getTransactionCount: [{ commitment }],
  getVersion: [],
  getVoteAccounts: [{ commitment }],
  isBlockhashValid: [blockhash, { commitment }],
  minimumLedgerSlot: [],
  requestAirdrop: [(await generateKeyPairSigner()).address, lamports(1_000_000n), { commitment }],
  sendTransaction: [wire, { encoding: 'base64', skipPreflight: true }],
  simulateTransaction: [wire, { encoding: 'base64', commitment, replaceRecentBlockhash: true, sigVerify: false }],
  // Newer than the node that this is: methods of Agave 4 and of providers.
  getAgGenesisCert: [],
  getTransactionsForAddress: [key],
};
saw('asked about', { key, mint, tokens, signature, slot });
for (const [method, parameters] of Object.entries(questions)) await look(method, () => rpc[method](...parameters).send());
end();
