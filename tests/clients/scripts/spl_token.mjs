// @solana/spl-token: a token from its mint to its last account closed.
import {
  TOKEN_PROGRAM_ID, approve, burn, closeAccount, createMint, getAccount, getAssociatedTokenAddressSync, getMint,
  getOrCreateAssociatedTokenAccount, mintTo, revoke, transfer, transferChecked,
} from '@solana/spl-token';
import { Connection, Keypair, LAMPORTS_PER_SOL } from '@solana/web3.js';
import { end, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint: wsUrl });
const [alice, bob, delegate] = [Keypair.generate(), Keypair.generate(), Keypair.generate()];
const signature = await connection.requestAirdrop(alice.publicKey, 10 * LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature, ...(await connection.getLatestBlockhash()) });

const mint = await createMint(connection, alice, alice.publicKey, alice.publicKey, 6);
const purse = (await getOrCreateAssociatedTokenAccount(connection, alice, mint, alice.publicKey)).address;
const other = (await getOrCreateAssociatedTokenAccount(connection, alice, mint, bob.publicKey)).address;
saw('addresses', { alice: alice.publicKey, bob: bob.publicKey, delegate: delegate.publicKey, mint, purse, other });
saw('derived', getAssociatedTokenAddressSync(mint, bob.publicKey).equals(other));

const amounts = async () => [(await getAccount(connection, purse)).amount, (await getAccount(connection, other)).amount];
await mintTo(connection, alice, mint, purse, alice, 5_000_000);
await look('supply', async () => (await getMint(connection, mint)).supply);
await look('decimals', async () => (await getMint(connection, mint)).decimals);
await look('minted', amounts);

const moved = await transferChecked(connection, alice, purse, mint, other, alice, 1_250_000, 6);
await look('transferred', amounts);
await look('parsed transfer', async () => {
  const { meta, transaction } = await connection.getParsedTransaction(moved);
  return { instruction: transaction.message.instructions[0], before: meta.preTokenBalances, after: meta.postTokenBalances };
});
await look('transfer of too much', () => transfer(connection, alice, purse, other, alice, 99_000_000));

await approve(connection, alice, purse, delegate.publicKey, alice, 700_000);
await look('approved', async () => {
  const { delegate: to, delegatedAmount } = await getAccount(connection, purse);
  return { to, delegatedAmount };
});
await look('getTokenAccountsByDelegate', async () => {
  const asked = [delegate.publicKey.toBase58(), { mint: mint.toBase58() }, { encoding: 'jsonParsed', commitment: 'confirmed' }];
  return (await connection._rpcRequest('getTokenAccountsByDelegate', asked)).result.value;
});
await look('spent by the delegate', async () => {
  await transfer(connection, alice, purse, other, delegate, 100_000);
  return amounts();
});
await revoke(connection, alice, purse, alice);
await look('revoked', async () => (await getAccount(connection, purse)).delegate);

await look('getTokenAccountsByOwner parsed', async () =>
  (await connection.getParsedTokenAccountsByOwner(bob.publicKey, { programId: TOKEN_PROGRAM_ID })).value);
await look('getTokenAccountsByOwner', async () =>
  (await connection.getTokenAccountsByOwner(bob.publicKey, { mint })).value.map(({ pubkey }) => pubkey));
await look('getTokenAccountBalance', async () => (await connection.getTokenAccountBalance(other)).value);
await look('getTokenSupply', async () => (await connection.getTokenSupply(mint)).value);
await look('getTokenLargestAccounts', async () => (await connection.getTokenLargestAccounts(mint)).value);
await look('parsed mint', async () => (await connection.getParsedAccountInfo(mint)).value.data);

await look('burnt', async () => {
  await burn(connection, alice, purse, mint, alice, 3_650_000);
  return [...(await amounts()), (await getMint(connection, mint)).supply];
});
await look('closed', async () => {
  await closeAccount(connection, alice, purse, bob.publicKey, alice);
  return [await connection.getAccountInfo(purse), await connection.getBalance(bob.publicKey)];
});
end();
