// @solana/web3.js: the accounts of a program, whole, filtered by content and size, and sliced.
import { Connection, PublicKey } from '@solana/web3.js';
import bs58 from 'bs58';
import { look, rpcUrl, saw } from './telling.mjs';

const connection = new Connection(rpcUrl, 'processed');
const program = new PublicKey(process.argv[4]);
const discriminator = Buffer.from(process.argv[5], 'hex');

const all = await connection.getProgramAccounts(program);
const first = all.find(({ account }) => account.data.subarray(0, 8).equals(discriminator));
const size = first.account.data.length;
const owner = first.account.data.subarray(8, 40);
const isOfOwner = ({ data }) => data.subarray(0, 8).equals(discriminator) && data.subarray(8, 40).equals(owner);
saw('all', all.length);
saw('of the discriminator', all.filter(({ account }) => account.data.subarray(0, 8).equals(discriminator)).length);
saw('of the first owner', all.filter(({ account }) => isOfOwner(account)).length);
saw('of that size', all.filter(({ account }) => account.data.length === size).length);

const memcmp = (offset, bytes) => ({ memcmp: { offset, bytes: bs58.encode(bytes) } });
const asked = async (config) => (await connection.getProgramAccounts(program, config)).map(({ account }) => account.data);
await look('memcmp of the discriminator', async () => (await asked({ filters: [memcmp(0, discriminator)] })).length);
await look('memcmp twice', async () => (await asked({ filters: [memcmp(0, discriminator), memcmp(8, owner)] })).length);
await look('dataSize', async () => (await asked({ filters: [{ dataSize: size }] })).length);
await look('base64 memcmp', async () =>
  (await asked({ filters: [{ memcmp: { offset: 8, bytes: owner.toString('base64'), encoding: 'base64' } }] })).length);
await look('dataSlice', async () => {
  const sliced = await asked({ filters: [memcmp(0, discriminator), memcmp(8, owner)], dataSlice: { offset: 8, length: 32 } });
  return sliced.every((data) => data.equals(owner)) && sliced.length;
});
await look('withContext', async () => {
  const { context, value } = await connection.getProgramAccounts(program, { withContext: true, filters: [{ dataSize: size }] });
  return { slot: context.slot, accounts: value.length };
});
await look('five filters', () => asked({ filters: Array(5).fill({ dataSize: size }) }));
await look('getMultipleAccountsInfo', async () => {
  const keys = all.slice(0, 50).map(({ pubkey }) => pubkey);
  const accounts = await connection.getMultipleAccountsInfo([...keys, PublicKey.unique()]);
  return { found: accounts.filter(Boolean).length, asked: keys.length, unknown: accounts.at(-1) };
});
await look('getAccountInfo', async () => (await connection.getAccountInfo(first.pubkey)).owner);
await look('getAccountInfo with a slice', async () =>
  (await connection.getAccountInfo(first.pubkey, { dataSlice: { offset: 8, length: 32 } })).data.equals(owner));
