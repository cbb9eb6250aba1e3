// @solana/web3.js: each of its subscriptions hears something, and nothing more once it is removed.
import { Connection, Keypair, LAMPORTS_PER_SOL, PublicKey, SystemProgram, Transaction } from '@solana/web3.js';
import { end, hearing, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const connection = new Connection(rpcUrl, { commitment: 'processed', wsEndpoint: wsUrl });
const owner = new PublicKey(process.argv[4]); // a program whose accounts change all the time
const payer = Keypair.generate();

const slots = hearing('slot');
const slotIds = [];
connection.onSlotChange(slots.listener);
connection.onSlotChange(({ slot }) => slotIds.push(slot));
const roots = hearing('root');
connection.onRootChange(roots.listener);

// slotsUpdates: wait until one slot was seen from its first shred to its root.
const kinds = new Set();
const updates = hearing('slot updates', ({ type }) => kinds.add(type) && kinds.has('root') && kinds.has('frozen'));
const updatesId = connection.onSlotUpdate(updates.listener);

const changes = hearing('program account');
connection.onProgramAccountChange(owner, changes.listener, { commitment: 'processed' });
const sized = hearing('program account of a size');
connection.onProgramAccountChange(owner, sized.listener, {
  commitment: 'processed', encoding: 'base64', filters: [{ dataSize: Number(process.argv[5]) }],
});
const logs = hearing('all logs');
connection.onLogs('all', logs.listener, 'processed');
const account = hearing('account', ({ lamports }) => lamports > 0);
const accountId = connection.onAccountChange(payer.publicKey, account.listener, { commitment: 'confirmed' });

await look('onSlotChange', async () => (await slots.heard)[0]);
await look('onRootChange', async () => (await roots.heard)[0]);
const airdrop = await connection.requestAirdrop(payer.publicKey, LAMPORTS_PER_SOL);
const received = hearing('signature received');
connection.onSignatureWithOptions(airdrop, received.listener, { commitment: 'processed', enableReceivedNotification: true });
await look('onSignatureWithOptions', async () => {
  const [notification, context] = await received.heard;
  return { type: notification.type, slot: context.slot };
});
await look('onAccountChange', async () => (await account.heard).map((each) => each.lamports ?? each.slot));
await look('onProgramAccountChange', async () => {
  const [{ accountId: id, accountInfo }, context] = await changes.heard;
  return { id, owner: accountInfo.owner, bytes: accountInfo.data.length, slot: context.slot };
});
await look('onProgramAccountChange with a filter', async () => (await sized.heard)[0].accountInfo.data.length);
await look('onLogs', async () => (await logs.heard)[0]);
await look('onSlotUpdate', async () => ((await updates.heard), [...kinds].sort()));

// Removed listeners stay silent, the others go on over the same socket.
await connection.removeAccountChangeListener(accountId);
await connection.removeSlotUpdateListener(updatesId);
let late = 0;
connection._rpcWebSocket.on('accountNotification', () => (late += 1));
const transfer = new Transaction().add(
  SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: payer.publicKey, lamports: 1 }),
);
transfer.recentBlockhash = (await connection.getLatestBlockhash()).blockhash;
transfer.sign(payer);
const again = hearing('signature again');
connection.onSignature(await connection.sendRawTransaction(transfer.serialize()), again.listener, 'confirmed');
await look('onSignature', async () => (await again.heard)[0]);
saw('notifications after removal', late);
saw('slots in order', slotIds.every((slot, i) => i === 0 || slot > slotIds[i - 1]) && slotIds.length);
end();
