// @solana/web3.js: every method of Connection that reads, so that its checks of shapes see every answer of the node.
import {
  ComputeBudgetProgram, Connection, Keypair, LAMPORTS_PER_SOL, NONCE_ACCOUNT_LENGTH, PublicKey, SystemProgram, Transaction,
  sendAndConfirmTransaction,
} from '@solana/web3.js';
import { TOKEN_PROGRAM_ID, createMint, getOrCreateAssociatedTokenAccount, mintTo } from '@solana/spl-token';
import { end, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint: wsUrl });
const program = new PublicKey(process.argv[4]);
const payer = Keypair.generate();

// Something to read: a funded account, a transaction, a nonce, a token.
const airdrop = await connection.requestAirdrop(payer.publicKey, 5 * LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature: airdrop, ...(await connection.getLatestBlockhash()) });
const nonce = Keypair.generate();
const setUp = new Transaction().add(
  ComputeBudgetProgram.setComputeUnitPrice({ microLamports: 10_000 }),
  SystemProgram.createNonceAccount({
    fromPubkey: payer.publicKey, noncePubkey: nonce.publicKey, authorizedPubkey: payer.publicKey,
    lamports: await connection.getMinimumBalanceForRentExemption(NONCE_ACCOUNT_LENGTH),
  }),
);
const signature = await sendAndConfirmTransaction(connection, setUp, [payer, nonce]);
const { slot } = (await connection.getSignatureStatus(signature)).value;
const { blockhash } = await connection.getLatestBlockhash();
const message = new Transaction({ feePayer: payer.publicKey, recentBlockhash: blockhash }).add(setUp.instructions[0]).compileMessage();
let mint = program;
let tokens = program;
await look('token set-up', async () => {
  mint = await createMint(connection, payer, payer.publicKey, null, 6);
  tokens = (await getOrCreateAssociatedTokenAccount(connection, payer, mint, payer.publicKey)).address;
  await mintTo(connection, payer, mint, tokens, payer, 1_500_000);
});
while ((await connection.getSlot('finalized')) < slot) await new Promise((resolve) => setTimeout(resolve, 100));

const key = payer.publicKey;
const version = { maxSupportedTransactionVersion: 0 };
const questions = {
  getAccountInfo: [key],
  getAccountInfoAndContext: [key],
  getAddressLookupTable: [Keypair.generate().publicKey],
  getBalance: [key],
  getBalanceAndContext: [key],
  getBlock: [slot, version],
  getBlockHeight: [],
  getBlockProduction: [],
  getBlockSignatures: [slot],
  getBlockTime: [slot],
  getBlocks: [slot, slot + 3],
  getClusterNodes: [],
  getConfirmedBlock: [slot],
  getConfirmedBlockSignatures: [slot],
  getConfirmedSignaturesForAddress: [key, slot, slot],
  getConfirmedSignaturesForAddress2: [key],
  getConfirmedTransaction: [signature],
  getEpochInfo: [],
  getEpochSchedule: [],
  getFeeCalculatorForBlockhash: [blockhash],
  getFeeForMessage: [message],
  getFirstAvailableBlock: [],
  getGenesisHash: [],
  getInflationGovernor: [],
  getInflationRate: [],
  getInflationReward: [[key]],
  getLargestAccounts: [{ commitment: 'confirmed' }],
  getLatestBlockhash: [],
  getLatestBlockhashAndContext: [],
  getLeaderSchedule: [],
  getMinimumBalanceForRentExemption: [165],
  getMinimumLedgerSlot: [],
  getMultipleAccountsInfo: [[key, mint, Keypair.generate().publicKey]],
  getMultipleAccountsInfoAndContext: [[key]],
  getMultipleParsedAccounts: [[nonce.publicKey, mint]],
  getNonce: [nonce.publicKey],
  getNonceAndContext: [nonce.publicKey],
  getParsedAccountInfo: [nonce.publicKey],
  getParsedBlock: [slot, version],
  getParsedConfirmedTransaction: [signature],
  getParsedConfirmedTransactions: [[signature]],
  getParsedProgramAccounts: [TOKEN_PROGRAM_ID, { filters: [{ dataSize: 82 }] }],
  getParsedTokenAccountsByOwner: [key, { programId: TOKEN_PROGRAM_ID }],
  getParsedTransaction: [signature, version],
  getParsedTransactions: [[signature, airdrop], version],
  getProgramAccounts: [program, { dataSlice: { offset: 0, length: 0 } }],
  getRecentBlockhash: [],
  getRecentBlockhashAndContext: [],
  getRecentPerformanceSamples: [3],
  getRecentPrioritizationFees: [{ lockedWritableAccounts: [key] }],
  getSignatureStatus: [signature],
  getSignatureStatuses: [[signature]],
  getSignaturesForAddress: [key],
  getSlot: [],
  getSlotLeader: [],
  getSlotLeaders: [slot, 3],
  getStakeActivation: [key],
  getStakeMinimumDelegation: [],
  getSupply: [{ excludeNonCirculatingAccountsList: true }],
  getTokenAccountBalance: [tokens],
  getTokenAccountsByOwner: [key, { mint }],
  getTokenLargestAccounts: [mint],
  getTokenSupply: [mint],
  getTotalSupply: [],
  getTransaction: [signature, version],
  getTransactionCount: [],
  getTransactions: [[signature], version],
  getVersion: [],
  getVoteAccounts: [],
  isBlockhashValid: [blockhash],
};
const internal = ['getCancellationPromise', 'getTransactionConfirmationPromise'];
saw('never asked', Object.getOwnPropertyNames(Connection.prototype).filter(
  (name) => name.startsWith('get') && !(name in questions) && !internal.includes(name)));
saw('asked about', { key, mint, tokens, nonce: nonce.publicKey, signature, slot });
for (const [method, parameters] of Object.entries(questions)) {
  await look(method, () => connection[method](...parameters));
}
end();
