// @solana/web3.js: the accounts of a program, whole, filtered by content and size, and sliced.
import { Connection, PublicKey } from '@solana/web3.js';
import bs58 from 'bs58';
import { look, rpcUrl, saw } from './telling.mjs';

const connection = new Connection(rpcUrl, 'processed');
const program = new PublicKey(process.argv[4]);
const discriminator = Buffer.from(process.argv[5], 'hex');
const everything = () => connection.getProgramAccounts(program);
const memcmp = (offset, bytes) => ({ memcmp: { offset, bytes: bs58.encode(bytes) } });
const asked = async (config) => (await connection.getProgramAccounts(program, config)).map(({ account }) => account.data);

/** All the comparisons below; the market goes on, so `all` tells which accounts there were at the beginning. */
async function compare(all) {
  const is = ({ data }) => data.subarray(0, 8).equals(discriminator);
  const first = all.find(({ account }) => is(account));
  const size = first.account.data.length;
  const owner = first.account.data.subarray(8, 40);
  const count = (passes) => all.filter(({ account }) => passes(account)).length;
  const sliced = await asked({ filters: [memcmp(0, discriminator), memcmp(8, owner)], dataSlice: { offset: 8, length: 32 } });
  const withContext = await connection.getProgramAccounts(program, { withContext: true, filters: [{ dataSize: size }] });
  return {
    all: all.length,
    'of the discriminator': count(is),
    'memcmp of the discriminator': (await asked({ filters: [memcmp(0, discriminator)] })).length,
    'of the first owner': count((account) => is(account) && account.data.subarray(8, 40).equals(owner)),
    'memcmp twice': (await asked({ filters: [memcmp(0, discriminator), memcmp(8, owner)] })).length,
    'base64 memcmp': (await asked({ filters: [{ memcmp: { offset: 8, bytes: owner.toString('base64'), encoding: 'base64' } }] })).length,
    'of that size': count(({ data }) => data.length === size),
    dataSize: (await asked({ filters: [{ dataSize: size }] })).length,
    withContext: { slot: withContext.context.slot, accounts: withContext.value.length },
    dataSlice: sliced.every((data) => data.equals(owner)) && sliced.length,
  };
}

const keysOf = (accounts) => accounts.map(({ pubkey }) => pubkey.toBase58()).sort().join();
for (let tries = 0; tries < 20; tries += 1) {
  const before = await everything();
  const compared = await compare(before);
  // Only what was compared while no position was opened or closed says something.
  if (keysOf(before) === keysOf(await everything())) {
    saw('compared', compared);
    break;
  }
}

const some = await everything();
const [fund] = PublicKey.findProgramAddressSync([Buffer.from('insurance_fund')], program);
await look('five filters', () => asked({ filters: Array(5).fill({ dataSize: 120 }) }));
await look('getMultipleAccountsInfo', async () => {
  const keys = some.slice(0, 50).map((each) => each.pubkey);
  const accounts = await connection.getMultipleAccountsInfo([...keys, PublicKey.unique()]);
  return { found: accounts.filter(Boolean).length, asked: keys.length, unknown: accounts.at(-1) };
});
await look('getAccountInfo', async () => (await connection.getAccountInfo(fund)).owner);
await look('getAccountInfo with a slice', async () => {
  const { data } = await connection.getAccountInfo(fund);
  return data.subarray(8, 40).equals((await connection.getAccountInfo(fund, { dataSlice: { offset: 8, length: 32 } })).data);
});
