// @coral-xyz/anchor: creates the insurance fund of a program that has none yet, and reads it back.
import anchor from '@coral-xyz/anchor';
import { end, rpcUrl, saw, wsUrl } from './telling.mjs';

const { AnchorProvider, Program, Wallet, web3 } = anchor;
const { Connection, Keypair, LAMPORTS_PER_SOL, PublicKey } = web3;
const programId = new PublicKey(process.argv[4]);

const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint: wsUrl });
const wallet = new Wallet(Keypair.generate());
const provider = new AnchorProvider(connection, wallet, { commitment: 'confirmed', preflightCommitment: 'confirmed' });
const airdrop = await connection.requestAirdrop(wallet.publicKey, LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature: airdrop, ...(await connection.getLatestBlockhash()) });

const program = await Program.at(programId, provider);
saw('before', (await program.account.insuranceFund.all()).length);
const signature = await program.methods.initializeInsuranceFund().accounts({ authority: wallet.publicKey }).rpc();
const [fund] = await program.account.insuranceFund.all();
saw('fund', {
  signature,
  address: fund.publicKey.toBase58(),
  isOurs: fund.account.authority.equals(wallet.publicKey),
  balance: fund.account.balance.toNumber(),
});
end();
