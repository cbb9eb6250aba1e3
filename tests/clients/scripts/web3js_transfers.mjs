// @solana/web3.js: lamports from the faucet, a transfer, and everything the chain then says about it.
import {
  Connection, Keypair, LAMPORTS_PER_SOL, SystemProgram, Transaction, sendAndConfirmTransaction,
} from '@solana/web3.js';
import { end, hearing, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint: wsUrl });
const [sender, receiver] = [Keypair.generate(), Keypair.generate()];
saw('addresses', { sender: sender.publicKey, receiver: receiver.publicKey });
saw('balance of nobody', await connection.getBalance(sender.publicKey));

// The faucet, confirmed over the WebSocket by blockhash and last valid block height.
const airdrop = await connection.requestAirdrop(sender.publicKey, 2 * LAMPORTS_PER_SOL);
const dropped = await connection.confirmTransaction({ signature: airdrop, ...(await connection.getLatestBlockhash()) });
saw('airdrop confirmed', dropped.value);
saw('balance after the airdrop', await connection.getBalance(sender.publicKey));

// A transfer, heard of by subscriptions made before it is sent.
const amount = 123_456_789;
const transfer = new Transaction().add(
  SystemProgram.transfer({ fromPubkey: sender.publicKey, toPubkey: receiver.publicKey, lamports: amount }),
);
const validity = await connection.getLatestBlockhash();
Object.assign(transfer, { feePayer: sender.publicKey, recentBlockhash: validity.blockhash });
transfer.sign(sender);
saw('fee asked for', (await connection.getFeeForMessage(transfer.compileMessage())).value);
const received = hearing('account', (account) => account.lamports === amount);
const processed = hearing('signature');
const logged = hearing('logs');
const bytes = transfer.serialize();
const signature = (await import('bs58')).default.encode(transfer.signature);
connection.onAccountChange(receiver.publicKey, received.listener, { commitment: 'processed' });
connection.onSignature(signature, processed.listener, 'processed');
connection.onLogs(sender.publicKey, logged.listener, 'processed');
const subscribed = hearing('slot'); // a node takes requests in order: once this one speaks, the others are in place
connection.onSlotChange(subscribed.listener);
await subscribed.heard;
saw('signature known before sending', signature === (await connection.sendRawTransaction(bytes)));
saw('confirmed', (await connection.confirmTransaction({ signature, ...validity })).value);
await look('onSignature', async () => (await processed.heard)[0]);
await look('onAccountChange', async () => (await received.heard)[0].lamports);
await look('onLogs', async () => (await logged.heard)[0]);

// What the chain says of it afterwards.
saw('balances', [await connection.getBalance(sender.publicKey), await connection.getBalance(receiver.publicKey)]);
saw('signature', signature);
const statuses = await connection.getSignatureStatuses([signature, '1'.repeat(64)]);
saw('statuses', statuses.value);
await look('getTransaction', () => connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 }));
await look('getParsedTransaction', () => connection.getParsedTransaction(signature));
await look('getSignaturesForAddress', () => connection.getSignaturesForAddress(receiver.publicKey));
const { slot } = statuses.value[0];
saw('slot', slot);
await look('getBlock', () => connection.getBlock(slot, { maxSupportedTransactionVersion: 0 }));
await look('getBlocks', () => connection.getBlocks(slot, slot + 2));
await look('getBlockTime', () => connection.getBlockTime(slot));

// The same bytes once more are recognised; the one-call form does all of the above; finality comes.
await look('same bytes again', () => connection.sendRawTransaction(bytes));
const second = new Transaction().add(
  SystemProgram.transfer({ fromPubkey: sender.publicKey, toPubkey: receiver.publicKey, lamports: 1 }),
);
await look('sendAndConfirmTransaction', () => sendAndConfirmTransaction(connection, second, [sender]));
await look('finalized', async () => (await connection.confirmTransaction({ signature, ...validity }, 'finalized')).value);
saw('final status', (await connection.getSignatureStatus(signature)).value);
end();
