import com.pixelmed.dicom.AttributeList;
import com.pixelmed.validate.DicomInstanceValidator;
import com.pixelmed.validate.DicomSRValidator;

/** Validates each file named, after the name of the validator: the rules are read once, which takes seconds. */
class PixelMed {
    public static void main(String[] arguments) throws Exception {
        boolean structured = arguments[0].equals("SR");
        DicomSRValidator reports = structured ? new DicomSRValidator() : null;
        DicomInstanceValidator instances = structured ? null : new DicomInstanceValidator();
        for (int number = 1; number < arguments.length; ++number) {
            System.out.println("File: " + arguments[number]);
            if (structured) {
                System.out.print(reports.validate(arguments[number]));
            } else {
                AttributeList list = new AttributeList();
                list.read(arguments[number]);
                System.out.print(instances.validate(list));
            }
        }
    }
}
