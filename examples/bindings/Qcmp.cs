// SPDX-License-Identifier: Apache-2.0
// libqcmp in C#, for Unity: put this file into Assets/, and the library of each platform into Assets/Plugins/. Compiled and run by the
// tests with mono on Linux; on Unity's players the same calls apply (IL2CPP takes P/Invoke without delegates, and there are none here).
// On iOS the library is linked statically: define QCMP_STATIC, which makes the name of the library "__Internal".
using System;
using System.Runtime.InteropServices;

namespace Qcmp
{
    [StructLayout(LayoutKind.Sequential)]
    public struct Endpoint
    {
        public ulong AddressHigh, AddressLow; // 16 bytes in network order
        public uint Scope;
        public ushort Port;
        private ushort padding;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Sample
    {
        public long RttNs, RawRttNs, HoldNs, IncomingNs, OutgoingNs;
        public uint Known;
        public int Suspect;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct SurveyResult
    {
        public uint Sent, Answered, Lost;
        public int Known;
        public long MedianNs, P95Ns, LeastNs, JitterNs, LowNs, HighNs, ScoreNs;
        public double Loss, LossProven;
    }

    public sealed class QcmpException : Exception
    {
        public readonly int Number;
        public QcmpException(int number) : base(Native.ErrorText(number)) { Number = number; }
    }

    internal static class Native
    {
#if QCMP_STATIC
        private const string Library = "__Internal";
#else
        private const string Library = "qcmp";
#endif
        [DllImport(Library)] internal static extern int qcmp_endpoint_parse(out Endpoint endpoint, byte[] text, ushort port);
        [DllImport(Library)] internal static extern int qcmp_distance_measure_endpoint(ref Endpoint to, long timeoutNs, out Sample sample);
        [DllImport(Library)] internal static extern UIntPtr qcmp_error_format(int error, byte[] text, UIntPtr capacity);
        [DllImport(Library)] internal static extern int qcmp_client_new_sized(out IntPtr client, IntPtr options, UIntPtr bytes);
        [DllImport(Library)] internal static extern void qcmp_client_free(IntPtr client);
        [DllImport(Library)] internal static extern UIntPtr qcmp_survey_bytes_sized(UIntPtr sites, IntPtr options, UIntPtr bytes);
        [DllImport(Library)]
        internal static extern int qcmp_survey_init_sized(out IntPtr survey, IntPtr memory, UIntPtr bytes, [In] Endpoint[] sites,
                                                          UIntPtr count, IntPtr options, UIntPtr optionsBytes);
        [DllImport(Library)] internal static extern int qcmp_survey_step(IntPtr survey, IntPtr client);
        [DllImport(Library)] internal static extern int qcmp_survey_best(IntPtr survey, out int certain);
        [DllImport(Library)]
        internal static extern int qcmp_survey_get_sized(IntPtr survey, UIntPtr site, out SurveyResult result, UIntPtr bytes);

        internal static string ErrorText(int number)
        {
            var text = new byte[256];
            ulong length = (ulong)qcmp_error_format(number, text, (UIntPtr)text.Length);
            return System.Text.Encoding.UTF8.GetString(text, 0, (int)Math.Min(length, 255));
        }

        internal static void Check(int result)
        {
            if (result < 0)
                throw new QcmpException(result);
        }
    }

    public static class Ping
    {
        /// <summary>Reads "192.0.2.1", "192.0.2.1:7600", "2001:db8::1" or "[2001:db8::1]:7600".</summary>
        public static Endpoint Parse(string text, ushort port = 7600)
        {
            Endpoint endpoint;
            Native.Check(Native.qcmp_endpoint_parse(out endpoint, System.Text.Encoding.UTF8.GetBytes(text + "\0"), port));
            return endpoint;
        }

        /// <summary>Blocks until the answer is there: not for a thread that draws.</summary>
        public static Sample Measure(Endpoint to, TimeSpan timeout)
        {
            Sample sample;
            Native.Check(Native.qcmp_distance_measure_endpoint(ref to, timeout.Ticks * 100, out sample));
            return sample;
        }
    }

    /// <summary>Finds the best of several sites: call Step() in each Update() until it returns false.</summary>
    public sealed class Survey : IDisposable
    {
        private IntPtr memory, survey, client;

        public Survey(Endpoint[] sites)
        {
            UIntPtr bytes = Native.qcmp_survey_bytes_sized((UIntPtr)sites.Length, IntPtr.Zero, UIntPtr.Zero);
            memory = Marshal.AllocHGlobal((IntPtr)(long)((ulong)bytes + 16));
            var aligned = (IntPtr)(((long)memory + 15) / 16 * 16);
            try
            {
                Native.Check(Native.qcmp_survey_init_sized(out survey, aligned, bytes, sites, (UIntPtr)sites.Length, IntPtr.Zero,
                                                           UIntPtr.Zero));
                Native.Check(Native.qcmp_client_new_sized(out client, IntPtr.Zero, UIntPtr.Zero));
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        /// <summary>Never blocks. False when the survey is done.</summary>
        public bool Step()
        {
            int result = Native.qcmp_survey_step(survey, client);
            Native.Check(result);
            return result > 0;
        }

        /// <summary>The index of the best site so far, or -1.</summary>
        public int Best(out bool certain)
        {
            int isCertain, best = Native.qcmp_survey_best(survey, out isCertain);
            certain = isCertain != 0;
            return best;
        }

        public SurveyResult Result(int site)
        {
            SurveyResult result;
            Native.Check(Native.qcmp_survey_get_sized(survey, (UIntPtr)(uint)site, out result,
                                                      (UIntPtr)(uint)Marshal.SizeOf(typeof(SurveyResult))));
            return result;
        }

        public void Dispose()
        {
            Native.qcmp_client_free(client);
            Marshal.FreeHGlobal(memory);
            client = memory = IntPtr.Zero;
            GC.SuppressFinalize(this);
        }

        ~Survey() { Dispose(); }
    }
}
