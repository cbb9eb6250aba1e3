// @coral-xyz/anchor: the definitions that the operational guide's TypeScript takes for granted, around that TypeScript.
import anchor from '@coral-xyz/anchor';
import { end, rpcUrl, saw, wsUrl } from './telling.mjs';

const { AnchorProvider, BN, Program, Wallet, web3 } = anchor;
const { Connection, Keypair, LAMPORTS_PER_SOL, PublicKey, SystemProgram } = web3;

const connection = new Connection(rpcUrl, { commitment: 'confirmed', wsEndpoint: wsUrl });
const wallet = new Wallet(Keypair.generate());
const signature = await connection.requestAirdrop(wallet.publicKey, 2 * LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature, ...(await connection.getLatestBlockhash()) });

const program = await Program.at(process.argv[4], new AnchorProvider(connection, wallet, { commitment: 'confirmed' }));
const [insuranceFundPDA] = PublicKey.findProgramAddressSync([Buffer.from('insurance_fund')], program.programId);
const before = await program.account.insuranceFund.fetch(insuranceFundPDA);

/* the guide's lines */

const after = await program.account.insuranceFund.fetch(insuranceFundPDA);
saw('insurance fund', {
  address: insuranceFundPDA,
  contributed: after.totalContributions.sub(before.totalContributions).toString(),
  paid: 2 * LAMPORTS_PER_SOL - (await connection.getBalance(wallet.publicKey)),
});
end();
