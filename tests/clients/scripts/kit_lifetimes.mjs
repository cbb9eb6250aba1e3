// @solana/kit: a lookup table and a durable nonce, made with @solana/web3.js and used with kit.
import {
  AccountRole, address, appendTransactionMessageInstruction, appendTransactionMessageInstructions,
  compressTransactionMessageUsingAddressLookupTables, createSolanaRpc, createSolanaRpcSubscriptions, createTransactionMessage,
  createKeyPairSignerFromBytes, fetchAddressesForLookupTables, fetchEncodedAccount, fetchJsonParsedAccount,
  getBase64EncodedWireTransaction, getSignatureFromTransaction, pipe, sendAndConfirmDurableNonceTransactionFactory,
  sendAndConfirmTransactionFactory, setTransactionMessageFeePayerSigner, setTransactionMessageLifetimeUsingBlockhash,
  setTransactionMessageLifetimeUsingDurableNonce, signTransactionMessageWithSigners,
} from '@solana/kit';
import {
  AddressLookupTableProgram, Connection, Keypair, LAMPORTS_PER_SOL, NONCE_ACCOUNT_LENGTH, SystemProgram, Transaction,
  sendAndConfirmTransaction,
} from '@solana/web3.js';
import { end, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint: wsUrl });
const [payer, nonce] = [Keypair.generate(), Keypair.generate()];
const airdrop = await connection.requestAirdrop(payer.publicKey, 5 * LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature: airdrop, ...(await connection.getLatestBlockhash()) });
const receivers = Array.from({ length: 25 }, () => Keypair.generate().publicKey);
const authority = payer.publicKey;
const [create, table] = AddressLookupTableProgram.createLookupTable({
  authority, payer: authority, recentSlot: await connection.getSlot('finalized'),
});
const extend = (addresses) => AddressLookupTableProgram.extendLookupTable({ lookupTable: table, authority, payer: authority, addresses });
const nonceAccount = SystemProgram.createNonceAccount({
  fromPubkey: authority, noncePubkey: nonce.publicKey, authorizedPubkey: authority,
  lamports: await connection.getMinimumBalanceForRentExemption(NONCE_ACCOUNT_LENGTH),
});
await sendAndConfirmTransaction(connection, new Transaction().add(create, extend(receivers.slice(0, 15))), [payer]);
await sendAndConfirmTransaction(connection, new Transaction().add(nonceAccount), [payer, nonce]);
await sendAndConfirmTransaction(connection, new Transaction().add(extend(receivers.slice(15))), [payer]);
const extendedAt = await connection.getSlot('processed');
while ((await connection.getSlot('confirmed')) <= extendedAt) await new Promise((resolve) => setTimeout(resolve, 50));

const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions(wsUrl);
const commitment = 'confirmed';
const signer = await createKeyPairSignerFromBytes(payer.secretKey);
const AMOUNT = 1_000_000n;
function transfer(to) {
  const data = new DataView(new ArrayBuffer(12));
  data.setUint32(0, 2, true);
  data.setBigUint64(4, AMOUNT, true);
  return {
    programAddress: address('11111111111111111111111111111111'),
    accounts: [{ address: signer.address, role: AccountRole.WRITABLE_SIGNER, signer }, { address: address(to.toBase58()), role: AccountRole.WRITABLE }],
    data: new Uint8Array(data.buffer),
  };
}

await look('lookup table', async () => {
  const tables = await fetchAddressesForLookupTables([address(table.toBase58())], rpc, { commitment });
  const { value: blockhash } = await rpc.getLatestBlockhash({ commitment }).send();
  const transaction = await signTransactionMessageWithSigners(pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayerSigner(signer, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(blockhash, message),
    (message) => appendTransactionMessageInstructions(receivers.map(transfer), message),
    (message) => compressTransactionMessageUsingAddressLookupTables(message, tables),
  ));
  await sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions })(transaction, { commitment });
  const { value } = await rpc.getMultipleAccounts(receivers.map((each) => address(each.toBase58())), { commitment, encoding: 'base64' }).send();
  return {
    addresses: Object.values(tables)[0].length,
    bytes: Buffer.from(getBase64EncodedWireTransaction(transaction), 'base64').length,
    paid: value.filter((account) => account?.lamports === AMOUNT).length,
  };
});

const nonceAddress = address(nonce.publicKey.toBase58());
await look('parsed nonce', async () => (await fetchJsonParsedAccount(rpc, nonceAddress, { commitment })).data);
await look('encoded account', async () => {
  const { exists, lamports, space, programAddress } = await fetchEncodedAccount(rpc, nonceAddress, { commitment });
  return { exists, lamports, space, programAddress };
});
await look('account of nobody', async () => (await fetchEncodedAccount(rpc, address(Keypair.generate().publicKey.toBase58()), { commitment })).exists);
await look('durable nonce', async () => {
  const value = async () => (await fetchJsonParsedAccount(rpc, nonceAddress, { commitment })).data.blockhash;
  const before = await value();
  const transaction = await signTransactionMessageWithSigners(pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayerSigner(signer, message),
    (message) => setTransactionMessageLifetimeUsingDurableNonce(
      { nonce: before, nonceAccountAddress: nonceAddress, nonceAuthorityAddress: signer.address }, message),
    (message) => appendTransactionMessageInstruction(transfer(receivers[0]), message),
  ));
  await sendAndConfirmDurableNonceTransactionFactory({ rpc, rpcSubscriptions })(transaction, { commitment });
  saw('nonce signature', getSignatureFromTransaction(transaction));
  return { advanced: (await value()) !== before };
});
end();
