// Simulation models of the ECP5 cells that Yosys knows by their ports only: block RAM and
// multiplier, as far as our netlists use them. Written for Verilator and Icarus.

// 18 kbit of block RAM with two ports, both of one clock edge: reads and writes 1, 2, 4, 9 or 18
// bits per port; with 36 bits, port A writes and port B reads, DIA/DOA being the lower half.
// A word of 18 bits is two bytes of 9, which share their 8 lower bits with the narrower widths.
module DP16KD(
  input CLKA, CEA, WEA, OCEA, RSTA, CSA0, CSA1, CSA2,
  input ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
  input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13,
  input DIA14, DIA15, DIA16, DIA17,
  output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13,
  output DOA14, DOA15, DOA16, DOA17,
  input CLKB, CEB, WEB, OCEB, RSTB, CSB0, CSB1, CSB2,
  input ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
  input DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13,
  input DIB14, DIB15, DIB16, DIB17,
  output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13,
  output DOB14, DOB15, DOB16, DOB17);

  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "AUTO";
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", CLKAMUX = "CLKA", CLKBMUX = "CLKB";
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
  parameter INITVAL_00 = 320'h0, INITVAL_01 = 320'h0, INITVAL_02 = 320'h0, INITVAL_03 = 320'h0;
  parameter INITVAL_04 = 320'h0, INITVAL_05 = 320'h0, INITVAL_06 = 320'h0, INITVAL_07 = 320'h0;
  parameter INITVAL_08 = 320'h0, INITVAL_09 = 320'h0, INITVAL_0A = 320'h0, INITVAL_0B = 320'h0;
  parameter INITVAL_0C = 320'h0, INITVAL_0D = 320'h0, INITVAL_0E = 320'h0, INITVAL_0F = 320'h0;
  parameter INITVAL_10 = 320'h0, INITVAL_11 = 320'h0, INITVAL_12 = 320'h0, INITVAL_13 = 320'h0;
  parameter INITVAL_14 = 320'h0, INITVAL_15 = 320'h0, INITVAL_16 = 320'h0, INITVAL_17 = 320'h0;
  parameter INITVAL_18 = 320'h0, INITVAL_19 = 320'h0, INITVAL_1A = 320'h0, INITVAL_1B = 320'h0;
  parameter INITVAL_1C = 320'h0, INITVAL_1D = 320'h0, INITVAL_1E = 320'h0, INITVAL_1F = 320'h0;
  parameter INITVAL_20 = 320'h0, INITVAL_21 = 320'h0, INITVAL_22 = 320'h0, INITVAL_23 = 320'h0;
  parameter INITVAL_24 = 320'h0, INITVAL_25 = 320'h0, INITVAL_26 = 320'h0, INITVAL_27 = 320'h0;
  parameter INITVAL_28 = 320'h0, INITVAL_29 = 320'h0, INITVAL_2A = 320'h0, INITVAL_2B = 320'h0;
  parameter INITVAL_2C = 320'h0, INITVAL_2D = 320'h0, INITVAL_2E = 320'h0, INITVAL_2F = 320'h0;
  parameter INITVAL_30 = 320'h0, INITVAL_31 = 320'h0, INITVAL_32 = 320'h0, INITVAL_33 = 320'h0;
  parameter INITVAL_34 = 320'h0, INITVAL_35 = 320'h0, INITVAL_36 = 320'h0, INITVAL_37 = 320'h0;
  parameter INITVAL_38 = 320'h0, INITVAL_39 = 320'h0, INITVAL_3A = 320'h0, INITVAL_3B = 320'h0;
  parameter INITVAL_3C = 320'h0, INITVAL_3D = 320'h0, INITVAL_3E = 320'h0, INITVAL_3F = 320'h0;
  localparam [20479:0] INIT = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00};

  reg [8:0] bytes [0:2047];
  integer index;
  initial for (index = 0; index < 1024; index = index + 1) begin
    bytes[2 * index] = INIT[20 * index +: 9];
    bytes[2 * index + 1] = INIT[20 * index + 9 +: 9];
  end

  wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2,
                     ADA1, ADA0};
  wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2,
                     ADB1, ADB0};
  wire [17:0] dia = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7,
                     DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [17:0] dib = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7,
                     DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};

  function [35:0] word(input [13:0] address, input integer width);
    begin
      word = 36'd0;
      case (width)
        1: word[0] = bytes[address[13:3]][address[2:0]];
        2: word[1:0] = bytes[address[13:3]][{address[2:1], 1'b0} +: 2];
        4: word[3:0] = bytes[address[13:3]][{address[2], 2'b0} +: 4];
        9: word[8:0] = bytes[address[13:3]];
        18: word[17:0] = {bytes[{address[13:4], 1'b1}], bytes[{address[13:4], 1'b0}]};
        default: word = {bytes[{address[13:5], 2'd3}], bytes[{address[13:5], 2'd2}],
                         bytes[{address[13:5], 2'd1}], bytes[{address[13:5], 2'd0}]};
      endcase
    end
  endfunction

  // What the memory gives out, one edge after the address.
  reg [17:0] latch_a = 18'd0;
  reg [35:0] latch_b = 36'd0;
  always @(posedge CLKA)
    if (RSTA && REGMODE_A == "NOREG") latch_a <= 18'd0;
    else if (CEA && (!WEA || WRITEMODE_A == "READBEFOREWRITE")) latch_a <= word(ada, DATA_WIDTH_A);
    else if (CEA && WEA && WRITEMODE_A == "WRITETHROUGH") latch_a <= dia;
  always @(posedge CLKB)
    if (RSTB && REGMODE_B == "NOREG") latch_b <= 36'd0;
    else if (CEB && (!WEB || WRITEMODE_B == "READBEFOREWRITE")) latch_b <= word(adb, DATA_WIDTH_B);
    else if (CEB && WEB && WRITEMODE_B == "WRITETHROUGH") latch_b <= dib;

  // Writes. Of words of 18 and 36 bits, the lowest address bits choose the bytes.
  always @(posedge CLKA)
    if (CEA && WEA)
      case (DATA_WIDTH_A)
        1: bytes[ada[13:3]][ada[2:0]] <= dia[0];
        2: bytes[ada[13:3]][{ada[2:1], 1'b0} +: 2] <= dia[1:0];
        4: bytes[ada[13:3]][{ada[2], 2'b0} +: 4] <= dia[3:0];
        9: bytes[ada[13:3]] <= dia[8:0];
        18: begin
          if (ada[0]) bytes[{ada[13:4], 1'b0}] <= dia[8:0];
          if (ada[1]) bytes[{ada[13:4], 1'b1}] <= dia[17:9];
        end
        default: begin
          if (ada[0]) bytes[{ada[13:5], 2'd0}] <= dia[8:0];
          if (ada[1]) bytes[{ada[13:5], 2'd1}] <= dia[17:9];
          if (ada[2]) bytes[{ada[13:5], 2'd2}] <= dib[8:0];
          if (ada[3]) bytes[{ada[13:5], 2'd3}] <= dib[17:9];
        end
      endcase
  always @(posedge CLKB)
    if (CEB && WEB && DATA_WIDTH_B != 36)
      case (DATA_WIDTH_B)
        1: bytes[adb[13:3]][adb[2:0]] <= dib[0];
        2: bytes[adb[13:3]][{adb[2:1], 1'b0} +: 2] <= dib[1:0];
        4: bytes[adb[13:3]][{adb[2], 2'b0} +: 4] <= dib[3:0];
        9: bytes[adb[13:3]] <= dib[8:0];
        default: begin
          if (adb[0]) bytes[{adb[13:4], 1'b0}] <= dib[8:0];
          if (adb[1]) bytes[{adb[13:4], 1'b1}] <= dib[17:9];
        end
      endcase

  // The block's own output registers, where they are used.
  reg [17:0] register_a = 18'd0;
  reg [35:0] register_b = 36'd0;
  always @(posedge CLKA) if (RSTA) register_a <= 18'd0; else if (OCEA) register_a <= latch_a;
  always @(posedge CLKB) if (RSTB) register_b <= 36'd0; else if (OCEB) register_b <= latch_b;
  wire [35:0] out_b = REGMODE_B == "OUTREG" ? register_b : latch_b;
  wire [17:0] out_a = DATA_WIDTH_B == 36 ? out_b[17:0]
                    : REGMODE_A == "OUTREG" ? register_a : latch_a;
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
          DOA4, DOA3, DOA2, DOA1, DOA0} = out_a;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
          DOB4, DOB3, DOB2, DOB1, DOB0} = DATA_WIDTH_B == 36 ? out_b[35:18] : out_b[17:0];
endmodule

// 18 x 18 multiplier. Registers before the operands and behind the product are there where they
// have a clock, which is CLK0 in our netlists, with CE0 and a synchronous RST0.
module MULT18X18D(
  input CLK0, CE0, RST0,
  input A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
  input B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
  input C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  output P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17,
  output P18, P19, P20, P21, P22, P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35);

  parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0";
  parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0";
  parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0";

  wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  reg [17:0] register_a = 18'd0, register_b = 18'd0;
  reg [35:0] register_p = 36'd0;
  wire [17:0] left = REG_INPUTA_CLK == "NONE" ? a : register_a;
  wire [17:0] right = REG_INPUTB_CLK == "NONE" ? b : register_b;
  wire signed [18:0] wide_a = {SIGNEDA & left[17], left};
  wire signed [18:0] wide_b = {SIGNEDB & right[17], right};
  wire signed [37:0] product = wide_a * wide_b;
  always @(posedge CLK0)
    if (RST0) begin
      register_a <= 18'd0;
      register_b <= 18'd0;
      register_p <= 36'd0;
    end else if (CE0) begin
      register_a <= a;
      register_b <= b;
      register_p <= product[35:0];
    end
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
          P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0}
    = REG_OUTPUT_CLK == "NONE" ? product[35:0] : register_p;
endmodule
