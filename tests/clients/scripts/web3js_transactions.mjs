// @solana/web3.js: versioned transactions with a lookup table, durable nonces, simulation, and failures with their logs.
import {
  AddressLookupTableProgram, ComputeBudgetProgram, Connection, Keypair, LAMPORTS_PER_SOL, MessageV0,
  NONCE_ACCOUNT_LENGTH, NonceAccount, SendTransactionError, SystemProgram, Transaction, TransactionMessage,
  VersionedTransaction, sendAndConfirmTransaction,
} from '@solana/web3.js';
import { end, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint: wsUrl });
const payer = Keypair.generate();
const airdrop = await connection.requestAirdrop(payer.publicKey, 5 * LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature: airdrop, ...(await connection.getLatestBlockhash()) });

async function run(...instructions) {
  return sendAndConfirmTransaction(connection, new Transaction().add(...instructions), [payer]);
}

async function runVersioned(instructions, tables = []) {
  const validity = await connection.getLatestBlockhash();
  const message = new TransactionMessage({
    payerKey: payer.publicKey, recentBlockhash: validity.blockhash, instructions,
  }).compileToV0Message(tables);
  const transaction = new VersionedTransaction(message);
  transaction.sign([payer]);
  const signature = await connection.sendTransaction(transaction);
  const { value } = await connection.confirmTransaction({ signature, ...validity });
  return { signature, err: value.err, bytes: transaction.serialize().length };
}

// A lookup table with 25 addresses, then one transaction that pays them all, which would not fit without it.
const receivers = Array.from({ length: 25 }, () => Keypair.generate().publicKey);
const [create, table] = AddressLookupTableProgram.createLookupTable({
  authority: payer.publicKey, payer: payer.publicKey, recentSlot: await connection.getSlot('finalized'),
});
await look('create table', () => run(create));
for (const part of [receivers.slice(0, 15), receivers.slice(15)]) {
  await look('extend table', () => run(AddressLookupTableProgram.extendLookupTable({
    lookupTable: table, authority: payer.publicKey, payer: payer.publicKey, addresses: part,
  })));
}
const extendedAt = await connection.getSlot('confirmed');
while ((await connection.getSlot('confirmed')) <= extendedAt + 1) await new Promise((resolve) => setTimeout(resolve, 50));
const lookup = await look('getAddressLookupTable', async () => (await connection.getAddressLookupTable(table)).value?.state.addresses.length)
  && (await connection.getAddressLookupTable(table)).value;
const payments = receivers.map((toPubkey) =>
  SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey, lamports: 1_000_000 }));
const paid = await look('versioned with a table', () => runVersioned(payments, [lookup]));
await look('paid through the table', async () =>
  (await Promise.all(receivers.map((key) => connection.getBalance(key)))).every((balance) => balance === 1_000_000));
await look('transaction with a table', async () => {
  const { version, meta, transaction } = await connection.getTransaction(paid.signature, { maxSupportedTransactionVersion: 0 });
  const keys = transaction.message.getAccountKeys({ accountKeysFromLookups: meta.loadedAddresses });
  return { version, writable: meta.loadedAddresses.writable.length, keys: keys.length, isV0: transaction.message instanceof MessageV0 };
});
await look('parsed transaction with a table', async () => {
  const parsed = await connection.getParsedTransaction(paid.signature, { maxSupportedTransactionVersion: 0 });
  return { sources: parsed.transaction.message.accountKeys.map((each) => each.source), first: parsed.transaction.message.instructions[0].parsed };
});
await look('asked for legacy only', () => connection.getTransaction(paid.signature));

// A durable nonce: signed against it, sent when its blockhash would long be out of date, and then used up.
const nonceKey = Keypair.generate();
const rent = await connection.getMinimumBalanceForRentExemption(NONCE_ACCOUNT_LENGTH);
await look('create nonce', () => sendAndConfirmTransaction(connection, new Transaction().add(SystemProgram.createNonceAccount({
  fromPubkey: payer.publicKey, noncePubkey: nonceKey.publicKey, authorizedPubkey: payer.publicKey, lamports: rent,
})), [payer, nonceKey]));
const nonceOf = async () => NonceAccount.fromAccountData((await connection.getAccountInfo(nonceKey.publicKey)).data).nonce;
await look('durable nonce', async () => {
  const nonce = await nonceOf();
  saw('getNonce', (await connection.getNonce(nonceKey.publicKey)).nonce === nonce);
  const nonceInstruction = SystemProgram.nonceAdvance({ noncePubkey: nonceKey.publicKey, authorizedPubkey: payer.publicKey });
  const transaction = new Transaction({ feePayer: payer.publicKey, nonceInfo: { nonce, nonceInstruction } }).add(payments[0]);
  transaction.sign(payer);
  const bytes = transaction.serialize();
  const minContextSlot = await connection.getSlot();
  const signature = await connection.sendRawTransaction(bytes);
  const { value } = await connection.confirmTransaction({
    signature, minContextSlot, nonceAccountPubkey: nonceKey.publicKey, nonceValue: nonce,
  });
  return { err: value.err, advanced: (await nonceOf()) !== nonce };
});

// Simulation: with and without signatures, with accounts afterwards, and a replaced blockhash.
const simulated = new VersionedTransaction(new TransactionMessage({
  payerKey: payer.publicKey, recentBlockhash: '1'.repeat(32), instructions: [payments[0]],
}).compileToV0Message());
await look('simulateTransaction', async () => (await connection.simulateTransaction(simulated, {
  sigVerify: false, replaceRecentBlockhash: true, accounts: { encoding: 'base64', addresses: [receivers[0].toBase58()] },
})).value);
await look('simulateTransaction unsigned and old', async () => (await connection.simulateTransaction(simulated)).value.err);
await look('simulateTransaction legacy', async () =>
  (await connection.simulateTransaction(new Transaction().add(payments[0]), [payer])).value.err);

// A transfer of more than there is: refused at preflight with logs; landed with its error when preflight is skipped.
const tooMuch = SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: receivers[0], lamports: 1000 * LAMPORTS_PER_SOL });
try {
  await run(tooMuch);
  saw('refused at preflight', false);
} catch (error) {
  saw('refused at preflight', {
    isSendTransactionError: error instanceof SendTransactionError, logs: error.logs, message: error.transactionError.message,
  });
}
await look('landed with an error', async () => {
  const transaction = new Transaction().add(ComputeBudgetProgram.setComputeUnitPrice({ microLamports: 7 }), tooMuch);
  const validity = await connection.getLatestBlockhash();
  Object.assign(transaction, { feePayer: payer.publicKey, recentBlockhash: validity.blockhash });
  transaction.sign(payer);
  const signature = await connection.sendRawTransaction(transaction.serialize(), { skipPreflight: true });
  // Depending on who is first, its subscription or its question, the client gives the error back or throws it.
  const err = await connection.confirmTransaction({ signature, ...validity }).then(({ value }) => value.err, (thrown) => thrown);
  // It throws as soon as the error is processed; what landed is told of once it is confirmed.
  let landed = null;
  while (!landed) landed = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
  const { meta } = landed;
  const error = new SendTransactionError({ action: 'send', signature, transactionMessage: 'landed' });
  return { err, fee: meta.fee, metaErr: meta.err, logs: await error.getLogs(connection) };
});

// Blockhashes that this cluster never had, and a transaction that was not signed by its payer.
await look('unknown blockhash', () => {
  const transaction = new Transaction({ feePayer: payer.publicKey, recentBlockhash: Keypair.generate().publicKey.toBase58() }).add(payments[0]);
  transaction.sign(payer);
  return connection.sendRawTransaction(transaction.serialize());
});
await look('wrong signature', async () => {
  const transaction = new Transaction({ feePayer: payer.publicKey, recentBlockhash: (await connection.getLatestBlockhash()).blockhash }).add(payments[0]);
  transaction.addSignature(payer.publicKey, Buffer.alloc(64, 7));
  return connection.sendRawTransaction(transaction.serialize({ verifySignatures: false }));
});
end();
