// @solana/kit: each kind of notification as an async iterator.
import {
  airdropFactory, createSolanaRpc, createSolanaRpcSubscriptions, createSolanaRpcSubscriptions_UNSTABLE, generateKeyPairSigner, lamports,
} from '@solana/kit';
import { end, look, rpcUrl, saw, wsUrl } from './telling.mjs';

const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions(wsUrl, { intervalMs: 250 }); // between pings, which have no answer
const unstable = createSolanaRpcSubscriptions_UNSTABLE(wsUrl);
const busyProgram = process.argv[4];
const receiver = await generateKeyPairSigner();

/** Read a subscription from when it stands, up to a notification that is enough; `seen` is a promise of what came. */
async function listen(subscription, isEnough = () => true) {
  const ending = new AbortController();
  const late = setTimeout(() => ending.abort(new Error('nothing came in 15 s')), 15_000);
  const notifications = await subscription.subscribe({ abortSignal: ending.signal });
  const read = async () => {
    const seen = [];
    for await (const notification of notifications) {
      seen.push(notification);
      if (isEnough(notification, seen)) break;
    }
    clearTimeout(late);
    ending.abort();
    return seen;
  };
  return { seen: read() };
}

// All but the signature are subscribed to before the airdrop that most of them tell of.
const commitment = 'confirmed';
const wanted = {
  account: rpcSubscriptions.accountNotifications(receiver.address, { commitment, encoding: 'base64' }),
  logs: rpcSubscriptions.logsNotifications({ mentions: [receiver.address] }, { commitment }),
  program: rpcSubscriptions.programNotifications(busyProgram, { commitment: 'processed', encoding: 'base64', filters: [{ dataSize: 134n }] }),
  root: rpcSubscriptions.rootNotifications(),
  slot: [rpcSubscriptions.slotNotifications(), (_, seen) => seen.length === 3],
  'slots updates': [unstable.slotsUpdatesNotifications(), ({ type }) => type === 'root'],
  block: unstable.blockNotifications('all', { commitment }),
  vote: unstable.voteNotifications(),
};
const listening = {};
for (const [what, subscription] of Object.entries(wanted)) {
  try {
    listening[what] = await listen(...[subscription].flat());
  } catch (error) {
    listening[what] = { seen: Promise.reject(error) };
    listening[what].seen.catch(() => {}); // told below
  }
}
const airdrop = await airdropFactory({ rpc, rpcSubscriptions })({
  commitment: 'processed', recipientAddress: receiver.address, lamports: lamports(1_000_000_000n),
});
saw('airdrop', airdrop);
listening.signature = await listen(rpcSubscriptions.signatureNotifications(airdrop, { commitment: 'finalized', enableReceivedNotification: true }),
  ({ value }) => value !== 'receivedSignature');
for (const [what, { seen }] of Object.entries(listening)) await look(what, () => seen);
end();
