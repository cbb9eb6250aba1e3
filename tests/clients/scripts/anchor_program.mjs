// @coral-xyz/anchor: our program from the IDL that is on chain: every instruction, account, event and named error.
import anchor from '@coral-xyz/anchor';
import { end, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const { AnchorError, AnchorProvider, BN, Program, Wallet, utils, web3 } = anchor;
const { Connection, Keypair, LAMPORTS_PER_SOL, PublicKey } = web3;
const programId = new PublicKey(process.argv[4]);
const [solPrice] = process.argv.slice(5).map((key) => new PublicKey(key)); // the Pyth account of SOL/USD

const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint: wsUrl });
const wallet = new Wallet(Keypair.generate());
const provider = new AnchorProvider(connection, wallet, { commitment: 'confirmed', preflightCommitment: 'confirmed' });
const airdrop = await connection.requestAirdrop(wallet.publicKey, 100 * LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature: airdrop, ...(await connection.getLatestBlockhash()) });

// The IDL as anchor finds it, and a program made of nothing but an address.
const idl = await Program.fetchIdl(programId, provider);
saw('fetchIdl', idl);
const program = await Program.at(programId, provider);
saw('Program.at', { programId: program.programId, instructions: Object.keys(program.methods) });

const [fund] = PublicKey.findProgramAddressSync([Buffer.from('insurance_fund')], programId);
const deployedAddress = (symbol) => PublicKey.findProgramAddressSync(
  [Buffer.from('position'), wallet.publicKey.toBuffer(), Buffer.from(symbol)], programId)[0];
const prices = [solPrice, solPrice].map((pubkey) => ({ pubkey, isSigner: false, isWritable: false })); // its own, then SOL/USD
const million = new BN(1_000_000);

/** Anything that anchor decodes, with numbers and addresses as text. */
function plain(value) {
  if (BN.isBN(value)) return Number(value);
  if (value instanceof PublicKey) return value.toBase58();
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

/** How a call is refused, as anchor understands it. */
async function refusal(call) {
  try {
    await call;
    return 'accepted';
  } catch (error) {
    if (!(error instanceof AnchorError)) return { message: error.message, logs: error.logs };
    return { code: error.error.errorCode.code, number: error.error.errorCode.number, message: error.error.errorMessage };
  }
}

/** SOL/USD of this moment, scaled by 1e6. */
async function markE6() {
  const { data } = await connection.getAccountInfo(solPrice, 'processed');
  return new BN(data.readBigInt64LE(73).toString()).div(new BN(10).pow(new BN(-6 - data.readInt32LE(89))));
}

// Events from now on.
const heard = [];
const waiting = [];
for (const { name } of program.idl.events) {
  program.addEventListener(name, (event, slot, signature) => {
    heard.push({ name, event: plain(event), slot, signature });
    waiting.splice(0).forEach((wake) => wake());
  });
}
async function event(signature, seconds = 10) {
  const until = Date.now() + seconds * 1000;
  while (!heard.some((each) => each.signature === signature)) {
    if (Date.now() > until) throw new Error(`no event of ${signature}`);
    await new Promise((resolve) => { waiting.push(resolve); setTimeout(resolve, 250); });
  }
  return heard.find((each) => each.signature === signature);
}

// open_position and create_position, with the addresses that anchor derives or that we give.
const mark = await markE6();
await look('openPosition', async () => {
  await program.methods.openPosition('SOL/USD', new BN(2).mul(million), new BN(100).mul(million), mark, 5)
    .accounts({ owner: wallet.publicKey }).rpc();
  return plain(await program.account.position.fetch(deployedAddress('SOL/USD')));
});
async function create({ size = 10, collateral, entry, leverage = 20, isLong = true }) {
  const position = Keypair.generate();
  await program.methods
    .createPosition('SOL/USD', new BN(size).mul(million), collateral, entry, leverage, isLong)
    .accounts({ position: position.publicKey, user: wallet.publicKey })
    .signers([position]).rpc();
  return position.publicKey;
}
const value = mark.muln(10);
// Longs of 10 SOL: one in good health, one at about half its maintenance margin, one far under water.
const healthy = await create({ collateral: value.divn(4), entry: mark, isLong: true });
const thin = await create({ collateral: value.muln(525).divn(10_000), entry: mark.muln(104).divn(100) });
const drowned = await create({ collateral: value.divn(100), entry: mark.muln(2) });
saw('own', { wallet: wallet.publicKey, deployed: deployedAddress('SOL/USD'), healthy, thin, drowned, mark: plain(mark) });
await look('fetch of a documented position', async () => plain(await program.account.documentedPosition.fetch(healthy)));
await look('fetch of it as any position', async () => plain(await program.account.position.fetch(healthy)));

// Reading: all, filtered, several, one that is not there, the fund.
await look('all', async () => {
  const all = await program.account.position.all();
  const lengths = new Set((await connection.getProgramAccounts(programId)).map(({ account }) => account.data.length));
  return { positions: all.length, lengths: [...lengths], own: all.filter(({ account }) => account.owner.equals(wallet.publicKey)).length };
});
await look('all of an owner', async () =>
  (await program.account.position.all([{ memcmp: { offset: 8, bytes: wallet.publicKey.toBase58() } }])).length);
await look('all funds', async () => (await program.account.insuranceFund.all()).map(({ publicKey }) => publicKey));
await look('fetchMultiple', async () =>
  (await program.account.position.fetchMultiple([healthy, Keypair.generate().publicKey, thin]))
    .map((each) => each && plain(each.owner)));
await look('fetchNullable', () => program.account.position.fetchNullable(Keypair.generate().publicKey));
const fundBefore = plain(await program.account.insuranceFund.fetch(fund));
saw('fund', { address: fund, ...fundBefore });

// Money into the fund, with its event.
await look('contributeToInsurance', async () => {
  const contribution = program.methods.contributeToInsurance(new BN(250_000_000)).accounts({ contributor: wallet.publicKey });
  const simulated = await contribution.simulate();
  const signature = await contribution.rpc();
  return { simulated: plain(simulated.events), told: await event(signature), raw: simulated.raw.length };
});

// Owners: more collateral, and out; a subscription tells of the change as the decoded account.
const changed = new Promise((resolve) => program.account.position.subscribe(healthy, 'processed').on('change', resolve));
await look('addCollateral', async () => {
  const signature = await program.methods.addCollateral(million).accounts({ position: healthy, owner: wallet.publicKey }).rpc();
  return {
    told: await event(signature),
    collateral: plain((await program.account.position.fetch(healthy)).collateral),
    subscribed: plain((await changed).collateral),
  };
});
await look('closePosition', async () => {
  const signature = await program.methods.closePosition().accounts({ position: healthy, owner: wallet.publicKey })
    .remainingAccounts(prices).rpc();
  return { told: await event(signature), gone: await program.account.position.fetchNullable(healthy) };
});

// Liquidations, with the price accounts as remaining accounts.
const liquidator = wallet.publicKey;
await look('liquidatePartial', async () => {
  const before = plain(await program.account.position.fetch(thin));
  const signature = await program.methods.liquidatePartial(new BN(2).mul(million)).accounts({ position: thin, liquidator })
    .remainingAccounts(prices).rpc();
  return { told: await event(signature), before: before.size, after: plain(await program.account.position.fetch(thin)).size };
});
await look('liquidateFull', async () => {
  const signature = await program.methods.liquidateFull().accounts({ position: drowned, liquidator }).remainingAccounts(prices).rpc();
  return { told: await event(signature), gone: await program.account.position.fetchNullable(drowned) };
});

// What is refused, by name.
const deployed = deployedAddress('SOL/USD');
const terms = (size, collateral, leverage, symbol = 'BTC/USD') =>
  program.methods.openPosition(symbol, new BN(size), new BN(collateral), mark, leverage).accounts({ owner: wallet.publicKey });
saw('refusals', {
  'leverage of 0': await refusal(terms(1, 1, 0).rpc()),
  'size of 0': await refusal(terms(0, 1, 1).rpc()),
  'collateral of 0': await refusal(terms(1, 0, 1).rpc()),
  'liquidation of a healthy position': await refusal(program.methods.liquidateFull().accounts({ position: deployed, liquidator })
    .remainingAccounts(prices).rpc()),
  'partial liquidation of 0': await refusal(program.methods.liquidatePartial(new BN(0)).accounts({ position: thin, liquidator })
    .remainingAccounts(prices).rpc()),
  'prices of another account': await refusal(program.methods.liquidateFull().accounts({ position: thin, liquidator })
    .remainingAccounts(prices.map((price) => ({ ...price, pubkey: fund }))).rpc()),
  'closing what is liquidatable': await refusal(program.methods.closePosition().accounts({ position: thin, owner: wallet.publicKey })
    .remainingAccounts(prices).rpc()),
  'liquidation of what is gone': await refusal(program.methods.liquidateFull().accounts({ position: drowned, liquidator })
    .remainingAccounts(prices).rpc()),
  'a second fund': await refusal(program.methods.initializeInsuranceFund().accounts({ authority: wallet.publicKey }).rpc()),
  'position twice': await refusal(terms(1, 1, 1, 'SOL/USD').rpc()),
});
await look('landed refusal', async () => {
  const transaction = await program.methods.liquidateFull().accounts({ position: deployed, liquidator })
    .remainingAccounts(prices).transaction();
  const validity = await connection.getLatestBlockhash();
  Object.assign(transaction, { feePayer: wallet.publicKey, recentBlockhash: validity.blockhash });
  const { signature } = await wallet.signTransaction(transaction);
  await connection.sendRawTransaction(transaction.serialize(), { skipPreflight: true });
  let landed = null;
  while (!landed) landed = await connection.getTransaction(utils.bytes.bs58.encode(signature), { maxSupportedTransactionVersion: 0 });
  return { err: landed.meta.err, code: AnchorError.parse(landed.meta.logMessages).error.errorCode };
});
saw('fund afterwards', plain(await program.account.insuranceFund.fetch(fund)));
end();
