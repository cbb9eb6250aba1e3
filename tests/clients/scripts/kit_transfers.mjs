// @solana/kit: the faucet, a transfer that is signed, sent and confirmed, and the errors that a node answers with.
import {
  SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE, SOLANA_ERROR__INSTRUCTION_ERROR__CUSTOM,
  AccountRole, airdropFactory, appendTransactionMessageInstruction, createSolanaRpc, createSolanaRpcSubscriptions,
  createTransactionMessage, generateKeyPairSigner, getBase64EncodedWireTransaction, getSignatureFromTransaction,
  isSolanaError, lamports, pipe, sendAndConfirmTransactionFactory, setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash, signTransactionMessageWithSigners, address,
} from '@solana/kit';
import { end, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions(wsUrl);
const [sender, receiver] = [await generateKeyPairSigner(), await generateKeyPairSigner()];
const commitment = 'confirmed';

const airdrop = airdropFactory({ rpc, rpcSubscriptions });
await look('airdrop', () => airdrop({ commitment, recipientAddress: sender.address, lamports: lamports(2_000_000_000n) }));
saw('balance after the airdrop', (await rpc.getBalance(sender.address, { commitment }).send()).value);

// The System program's transfer: instruction 2, then the amount as u64.
function transfer(amount) {
  const data = new Uint8Array(12);
  new DataView(data.buffer).setUint32(0, 2, true);
  new DataView(data.buffer).setBigUint64(4, amount, true);
  return {
    programAddress: address('11111111111111111111111111111111'),
    accounts: [
      { address: sender.address, role: AccountRole.WRITABLE_SIGNER, signer: sender },
      { address: receiver.address, role: AccountRole.WRITABLE },
    ],
    data,
  };
}

async function signed(amount) {
  const { value: blockhash } = await rpc.getLatestBlockhash({ commitment }).send();
  return signTransactionMessageWithSigners(pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayerSigner(sender, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(blockhash, message),
    (message) => appendTransactionMessageInstruction(transfer(amount), message),
  ));
}

const sendAndConfirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const paid = await signed(123_456_789n);
const signature = getSignatureFromTransaction(paid);
await look('sendAndConfirm', () => sendAndConfirm(paid, { commitment }));
saw('balances', [
  (await rpc.getBalance(sender.address, { commitment }).send()).value,
  (await rpc.getBalance(receiver.address, { commitment }).send()).value,
]);
await look('status', async () => (await rpc.getSignatureStatuses([signature]).send()).value[0]);
await look('transaction', () => rpc.getTransaction(signature, { commitment, encoding: 'json', maxSupportedTransactionVersion: 0 }).send());
await look('parsed', async () => (await rpc.getTransaction(signature, {
  commitment, encoding: 'jsonParsed', maxSupportedTransactionVersion: 0,
}).send()).transaction.message.instructions[0]);
await look('signatures', async () => (await rpc.getSignaturesForAddress(receiver.address, { commitment }).send()).map((each) => each.signature === signature));

// More than there is: the node's refusal, as kit names it.
try {
  await sendAndConfirm(await signed(1_000_000_000_000n), { commitment });
  saw('refused', false);
} catch (error) {
  saw('refused', {
    isPreflightFailure: isSolanaError(error, SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE),
    isCustom: isSolanaError(error.cause, SOLANA_ERROR__INSTRUCTION_ERROR__CUSTOM),
    custom: error.cause?.context?.code, logs: error.context?.logs, units: error.context?.unitsConsumed,
  });
}
await look('simulate', async () => (await rpc.simulateTransaction(getBase64EncodedWireTransaction(await signed(1n)), {
  encoding: 'base64', commitment,
}).send()).value);
await look('finalized', () => sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions })(paid, { commitment: 'finalized', skipPreflight: true }));
end();
